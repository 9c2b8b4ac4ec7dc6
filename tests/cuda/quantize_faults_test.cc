// Faults planted in the quantizers are found: a barrier that is missing, a size that is off by one,
// a scheme that is another's. RealRows has no barrier.
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda/planted_faults.h"
#include "tests/cuda/quantize_cases.h"

namespace w8a8::test {
namespace {

constexpr int64_t kRows = 4, kCols = 1152;  // two warps for a row
constexpr char kNoError[] = "no error was thrown";
constexpr Quantizer kAsymmetric{.symmetric = false};
constexpr Quantizer kInGroups{.granularity = Granularity::kGroup, .group_size = 128};

Quantized QuantizedOnDevice(const Scheme& scheme, bool with_values) {
  const DeviceQuantized there(RandomRows(kRows, kCols, 95), kCols, scheme);
  QuantizeArgs args = there.args();
  if (with_values) args.values = there.values.view();
  LaunchQuantize(nullptr, args);
  return there.Download(with_values);
}

TEST(QuantizeFaults, EveryBarrierIsNeeded) {
  const auto expect = [](const Scheme& scheme, bool with_values) {
    ExpectEveryBarrierIsNeeded([&] { return QuantizedOnDevice(scheme, with_values); });
  };
  expect({}, false);
  expect({.transform = Smoothing(kCols)}, true);
  expect({.quantizer = kAsymmetric}, true);
  expect({.quantizer = kInGroups, .transform = Rotated(16, true), .group = 128}, false);
  expect({.quantizer = kAsymmetric, .group = 128}, true);
  expect({.rows_per_image = 2}, false);
}

TEST(QuantizeFaults, EveryBarrierOfATransformIsNeeded) {
  // Blocks of as many inputs as threads, or of a multiple, are mixed by who multiplies them next.
  for (const Rotation& rotation : {Rotation{2, true}, Rotation{32, true}, Rotation{128, false}}) {
    ExpectEveryBarrierIsNeeded([&rotation] {
      const DeviceRows<Half> x(RandomRows(kRows, kCols, 96), kCols), rounded(kRows, kCols);
      const DeviceTransform transform(InputTransform{.inv_smoothing = {}, .rotation = rotation},
                                      kCols);
      LaunchTransform(
          nullptr,
          {.x = x.view(), .transform = transform.row(), .rounded = rounded.view(), .values = {}});
      return rounded.Download();
    });
  }
}

// What is left of `scheme` where x has another size than its arrays.
Quantized RunSized(const Scheme& scheme, int64_t rows, int64_t cols) {
  const DeviceQuantized there(RandomRows(kRows, kCols, 97), kCols, scheme);
  QuantizeArgs args = there.args();
  args.x.rows = rows;
  args.x.cols = cols;
  LaunchQuantize(nullptr, args);
  return there.Download(false);
}

TEST(QuantizeFaults, ASizeThatIsOffByOneIsFound) {
  for (const Scheme& scheme : {Scheme{}, Scheme{.quantizer = kAsymmetric, .group = 0},
                               Scheme{.transform = Smoothing(kCols), .group = 64}}) {
    const auto error_of = [&scheme](int64_t rows, int64_t cols) {
      return ErrorOf([&] { RunSized(scheme, rows, cols); });
    };
    EXPECT_EQ(error_of(kRows, kCols), kNoError);
    EXPECT_NE(error_of(kRows + 1, kCols), kNoError);
    EXPECT_NE(error_of(kRows, kCols + 1), kNoError);
    EXPECT_TRUE(Contains(error_of(kRows - 1, kCols), "nobody wrote"));
    EXPECT_NE(RunSized(scheme, kRows, kCols), RunSized(scheme, kRows, kCols - 1));
  }
}

TEST(QuantizeFaults, ASizeThatIsOffByOneIsFoundOnTheWayBack) {
  const auto error_of = [](int64_t rows, int64_t cols) {
    return ErrorOf([&] {
      const DeviceQuantized there(RandomRows(kRows, kCols, 98), kCols, {});
      LaunchQuantize(nullptr, there.args());
      MatView<float> values = there.values.view();
      values.rows = rows;
      values.cols = cols;
      LaunchRealRows(nullptr, {.codes = there.codes.data(),
                               .codes_stride = CodesStride(kCols),
                               .scale = there.scale.data(),
                               .zero_point = nullptr,
                               .scale_group = 0,
                               .rows_per_image = 0,
                               .values = values});
      there.values.Download();
    });
  };
  EXPECT_EQ(error_of(kRows, kCols), kNoError);
  EXPECT_NE(error_of(kRows + 1, kCols), kNoError);
  EXPECT_NE(error_of(kRows, kCols + 1), kNoError);
  EXPECT_TRUE(Contains(error_of(kRows - 1, kCols), "nobody wrote"));
  EXPECT_TRUE(Contains(error_of(kRows, kCols - 1), "nobody wrote"));
}

TEST(QuantizeFaults, AnotherSchemeGivesAnotherResult) {
  const Scheme rotated{.transform = Rotated(64, true, Smoothing(kCols))};
  const auto run = [&rotated](auto change) {
    const DeviceQuantized there(RandomRows(kRows, kCols, 99), kCols, rotated);
    QuantizeArgs args = there.args();
    change(args);
    LaunchQuantize(nullptr, args);
    return there.Download(false);
  };
  const Quantized right = run([](QuantizeArgs&) {});
  EXPECT_EQ(right, run([](QuantizeArgs&) {}));
  EXPECT_NE(right, run([](QuantizeArgs& args) { args.transform.mix = 0.0f; }));
  EXPECT_NE(right, run([](QuantizeArgs& args) { args.transform.norm = 1.0f; }));
  EXPECT_NE(right, run([](QuantizeArgs& args) { args.transform.block = 128; }));
  EXPECT_NE(right, run([](QuantizeArgs& args) { args.quantizer.clip_range = 1.0f; }));
  EXPECT_NE(right, run([](QuantizeArgs& args) { args.quantizer = Quantizer::Static(0.01f); }));
}

}  // namespace
}  // namespace w8a8::test
