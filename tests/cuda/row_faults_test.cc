// Faults planted in the element-wise steps are found: a barrier that is missing, a size that is off
// by one, operands that are swapped. NormRows, AddRows, ConvertRows and RowsThroughCodes have no
// barrier that could be missing: a lane touches memory that no other touches.
#include <functional>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/row_kernels.h"
#include "tests/cuda/device_rows.h"
#include "tests/cuda/planted_faults.h"

namespace w8a8::test {
namespace {

constexpr int64_t kRows = 5, kCols = 1100;  // two warps for a row

// Room for what every kernel reads and writes.
struct Operands {
  std::vector<Half> values = RandomRows(kRows, kCols, 61);
  DeviceRows<Half> x{values, kCols}, other{RandomRows(kRows, kCols, 62), kCols}, y{kRows, kCols};
  DeviceRows<float> floats{kRows, kCols};
  DeviceArray<float> weight{RandomFloats(kCols, 63)}, bias{RandomFloats(kCols, 64)};
  DevicePlainCodes codes{kRows, kCols, 0.0f, kNoClipRange};

  NormArgs Norm() const {
    return {.kind = NormKind::kLayerNorm,
            .eps = 1e-6f,
            .x = x.view(),
            .add = {other.view(), nullptr},
            .weight = weight.data(),
            .bias = bias.data(),
            .y = y.view(),
            .codes = {}};
  }
  ActivationArgs Gate() const {
    return {.kind = ActivationKind::kSilu,
            .x = x.view(),
            .gated = other.view(),
            .y = y.view(),
            .codes = codes.plain};
  }
};

TEST(RowFaults, EveryBarrierIsNeeded) {
  ExpectEveryBarrierIsNeeded([] {
    const Operands operands;
    LaunchActivation(nullptr, operands.Gate());
    return std::tuple(operands.y.Download(), operands.codes.codes.Download(),
                      operands.codes.scale.Download(), operands.codes.code_sum.Download());
  });
}

constexpr char kNoError[] = "no error was thrown";

// One row or column too many is outside the memory or in a race with the next row, one too few
// leaves an output unwritten.
void ExpectSizesMatter(const std::function<void(int64_t rows, int64_t cols)>& run) {
  const auto error_of = [&](int64_t rows, int64_t cols) {
    return ErrorOf([&] { run(rows, cols); });
  };
  EXPECT_EQ(error_of(kRows, kCols), kNoError);
  EXPECT_NE(error_of(kRows + 1, kCols), kNoError);
  EXPECT_NE(error_of(kRows, kCols + 1), kNoError);
  EXPECT_TRUE(Contains(error_of(kRows - 1, kCols), "nobody wrote"));
  EXPECT_TRUE(Contains(error_of(kRows, kCols - 1), "nobody wrote"));
}

template <class T>
MatView<T> Sized(MatView<T> view, int64_t rows, int64_t cols) {
  return {view.data, rows, cols, view.stride};
}

TEST(RowFaults, ASizeThatIsOffByOneIsFoundInNorms) {
  ExpectSizesMatter([](int64_t rows, int64_t cols) {
    const Operands operands;
    NormArgs args = operands.Norm();
    args.x = Sized(args.x, rows, cols);
    LaunchNorm(nullptr, args);
    operands.y.Download();
  });
}

TEST(RowFaults, ASizeThatIsOffByOneIsFoundInGates) {
  ExpectSizesMatter([](int64_t rows, int64_t cols) {
    const Operands operands;
    ActivationArgs args = operands.Gate();
    args.x = Sized(args.x, rows, cols);
    LaunchActivation(nullptr, args);
    operands.y.Download();
    operands.codes.scale.Download();
  });
}

TEST(RowFaults, ASizeThatIsOffByOneIsFoundInConversions) {
  ExpectSizesMatter([](int64_t rows, int64_t cols) {
    const Operands operands;
    LaunchConvert(nullptr, MatView<const Half>(Sized(operands.x.view(), rows, cols)),
                  operands.floats.view());
    operands.floats.Download();
    LaunchConvert(nullptr, MatView<const float>(Sized(operands.floats.view(), rows, cols)),
                  operands.y.view());
    operands.y.Download();
  });
}

// Work in place: what is left out keeps its value.
TEST(RowFaults, ASizeThatIsOffByOneIsFoundInPlace) {
  using Run = std::function<void(MatView<Half>, const Operands&)>;
  const Run add = [](MatView<Half> stream, const Operands& operands) {
    LaunchAdd(nullptr, AddArgs{stream, operands.other.view(), operands.weight.data()});
  };
  const Run through = [](MatView<Half> y, const Operands&) {
    LaunchThroughCodes(
        nullptr,
        {.y = y, .scale = 0.013f, .codes = nullptr, .codes_stride = 0, .saturated = nullptr});
  };
  for (const Run& run : {add, through}) {
    const auto result = [&run](int64_t rows, int64_t cols) {
      const Operands operands;
      run(Sized(operands.x.view(), rows, cols), operands);
      return operands.x.Download();
    };
    EXPECT_NE(result(kRows, kCols), result(kRows - 1, kCols));
    EXPECT_NE(result(kRows, kCols), result(kRows, kCols - 1));
    EXPECT_NE(ErrorOf([&] { result(kRows + 1, kCols); }), kNoError);
    EXPECT_NE(ErrorOf([&] { result(kRows, kCols + 1); }), kNoError);
  }
}

TEST(RowFaults, SwappedOperandsChangeTheResult) {
  const auto norm = [](auto change) {
    const Operands operands;
    NormArgs args = operands.Norm();
    change(args);
    LaunchNorm(nullptr, args);
    return operands.y.Download();
  };
  const std::vector<Half> right = norm([](NormArgs&) {});
  EXPECT_EQ(right, norm([](NormArgs&) {}));
  EXPECT_NE(right, norm([](NormArgs& args) { std::swap(args.weight, args.bias); }));
  EXPECT_NE(right, norm([](NormArgs& args) { args.add.layer_scale = args.bias; }));
  EXPECT_NE(right, norm([](NormArgs& args) { args.kind = NormKind::kRmsNorm; }));
  const auto gate = [](auto change) {
    const Operands operands;
    ActivationArgs args = operands.Gate();
    change(args);
    LaunchActivation(nullptr, args);
    return std::tuple(operands.codes.codes.Download(), operands.codes.scale.Download());
  };
  const auto gated = gate([](ActivationArgs&) {});
  EXPECT_NE(gated, gate([](ActivationArgs& args) { std::swap(args.x, args.gated); }));
  EXPECT_NE(gated, gate([](ActivationArgs& args) { args.codes.static_scale = 0.02f; }));
}

}  // namespace
}  // namespace w8a8::test
