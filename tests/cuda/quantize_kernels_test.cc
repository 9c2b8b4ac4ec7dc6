// The quantizers on the device against the CPU's scalar kernels, in every bit.
#include "runtime/cuda/quantize_kernels.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/quantize_cases.h"

namespace w8a8::test {
namespace {

using QuantizeKernels = DeviceTest;

constexpr int64_t kColumnCounts[] = {1, 7, 72, 192, 255, 257, 588, 1152};
constexpr Placing kPlacings[] = {{0, 0}, {8, 16}, {0, 3}, {1, 7}};

constexpr Quantizer Asymmetric(float clip_range = kNoClip) {
  return {.clip_range = clip_range, .symmetric = false};
}
constexpr Quantizer InGroups(int64_t size, float clip_range = kNoClip) {
  return {.granularity = Granularity::kGroup, .clip_range = clip_range, .group_size = size};
}
constexpr Quantizer AsymmetricStatic(float scale, int32_t zero_point) {
  return {.granularity = Granularity::kTensor,
          .scale = scale,
          .symmetric = false,
          .zero_point = zero_point};
}

TEST_F(QuantizeKernels, PlainRowsEqualTheCpu) {
  // 127 / R is infinite in the third: 0 * infinity is a NaN that no input holds.
  for (const Quantizer& quantizer :
       {Quantizer(), Quantizer{.clip_range = 1.5f}, Quantizer{.clip_range = 1e-40f},
        Quantizer::Static(0.0078125f), Quantizer::Static(1e-6f)}) {
    for (const int64_t cols : kColumnCounts) {
      for (const Placing placing : kPlacings) {
        ExpectQuantizedAsTheCpu(RandomRows(5, cols, 81), cols, {.quantizer = quantizer}, "plain",
                                placing);
      }
    }
  }
}

// As of an expert that no token went to.
TEST_F(QuantizeKernels, NoRowsAreNoWork) {
  const MatView<const Half> none{nullptr, 0, 24, 24};
  for (const Quantizer& quantizer : {Quantizer(), Asymmetric()}) {
    LaunchQuantize(nullptr, {.x = none,
                             .quantizer = quantizer,
                             .transform = {},
                             .group = 0,
                             .rows_per_image = 0,
                             .codes = nullptr,
                             .codes_stride = 32,
                             .scale = nullptr,
                             .zero_point = nullptr,
                             .code_sum = nullptr,
                             .counts = nullptr,
                             .values = {}});
  }
}

TEST_F(QuantizeKernels, EveryPatternEqualsTheCpu) {
  std::vector<Half> patterns(65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) patterns[bits] = Half{static_cast<uint16_t>(bits)};
  for (const float scale : {1.0f, 0.001f, 3.1e-5f, 516.0f, 1e-30f, 1e30f}) {
    ExpectQuantizedAsTheCpu(patterns, 1024, {.quantizer = Quantizer::Static(scale)}, "symmetric");
  }
  ExpectQuantizedAsTheCpu(patterns, 1024, {.quantizer = AsymmetricStatic(0.5f, -100)}, "skewed");
}

TEST_F(QuantizeKernels, AsymmetricRowsEqualTheCpu) {
  for (const Quantizer& quantizer : {Asymmetric(), Asymmetric(1.5f), AsymmetricStatic(0.01f, 37),
                                     AsymmetricStatic(0.02f, -128)}) {
    for (const int64_t cols : kColumnCounts) {
      ExpectQuantizedAsTheCpu(RandomRows(5, cols, 82), cols, {.quantizer = quantizer}, "skewed");
      ExpectQuantizedAsTheCpu(RandomRows(5, cols, 83), cols, {.quantizer = quantizer, .group = 24},
                              "skewed, weights in groups");
    }
  }
}

TEST_F(QuantizeKernels, GroupsOfInputsAndOfProductsEqualTheCpu) {
  struct Sizes {
    int64_t inputs, product;  // 0: not in groups
  };
  const Sizes all[] = {{0, 1}, {0, 7}, {0, 128}, {1, 1}, {7, 7}, {32, 32}, {128, 32}, {96, 48}};
  for (const Sizes& sizes : all) {
    const Quantizer quantizer = sizes.inputs > 0 ? InGroups(sizes.inputs, 1.5f) : Quantizer();
    for (const int64_t cols : kColumnCounts) {
      if (cols > 300 * sizes.product) continue;  // many groups take the model long
      ExpectQuantizedAsTheCpu(RandomRows(5, cols, 84), cols,
                              {.quantizer = quantizer, .group = sizes.product},
                              std::to_string(sizes.inputs) + ", " + std::to_string(sizes.product));
    }
  }
}

TEST_F(QuantizeKernels, SmoothedRowsEqualTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const Placing placing : kPlacings) {
      const std::vector<Half> x = RandomRows(5, cols, 85);
      ExpectQuantizedAsTheCpu(x, cols, {.transform = Smoothing(cols)}, "smoothed", placing);
    }
    ExpectQuantizedAsTheCpu(RandomRows(5, cols, 86), cols,
                            {.quantizer = InGroups(64), .transform = Smoothing(cols), .group = 64},
                            "in groups");
  }
}

TEST_F(QuantizeKernels, RotatedRowsEqualTheCpu) {
  for (const int64_t cols : {72, 192, 588, 1152, 2048}) {
    for (const int64_t block : {2, 4, 8, 16, 64, 128, 2048}) {
      if (cols % block != 0) continue;
      for (const bool mix : {false, true}) {
        const std::string what = "blocks of " + std::to_string(block);
        const std::vector<Half> x = RandomRows(5, cols, 87);
        ExpectQuantizedAsTheCpu(x, cols, {.transform = Rotated(block, mix)}, what);
        ExpectQuantizedAsTheCpu(
            x, cols, {.quantizer = Asymmetric(), .transform = Rotated(block, mix, Smoothing(cols))},
            what, {1, 7});
      }
    }
  }
}

TEST_F(QuantizeKernels, FirstRowsCodedTwiceEqualTheCpu) {
  for (const int64_t cols : {7, 72, 257, 1152}) {
    const std::vector<Half> x = RandomRows(12, cols, 88);
    for (const Quantizer& quantizer :
         {Quantizer(), Quantizer{.clip_range = 1.5f}, Quantizer::Static(0.01f)}) {
      for (const int64_t rows_per_image : {1, 2, 3, 12}) {
        ExpectQuantizedAsTheCpu(x, cols, {.quantizer = quantizer, .rows_per_image = rows_per_image},
                                "twice");
        ExpectQuantizedAsTheCpu(x, cols,
                                {.quantizer = quantizer,
                                 .transform = Smoothing(cols),
                                 .rows_per_image = rows_per_image},
                                "smoothed, twice");
      }
    }
  }
}

TEST_F(QuantizeKernels, ManyAndWideRowsEqualTheCpu) {
  for (const int64_t rows : {1, 33, 729, 1025}) {
    const std::vector<Half> x = RandomRows(rows, 24, 89);
    ExpectQuantizedAsTheCpu(x, 24, {}, "rows");
    ExpectQuantizedAsTheCpu(x, 24, {.transform = Rotated(8, true)}, "rows");
  }
  ExpectQuantizedAsTheCpu(RandomRows(3, 12800, 90), 12800, {}, "wide");
  ExpectQuantizedAsTheCpu(RandomRows(3, 12800, 91), 12800,
                          {.transform = Rotated(512, true, Smoothing(12800))}, "wide");
}

// 255 / (high - low), or 127 / a, is not finite, or the width is not: rows of zeros.
TEST_F(QuantizeKernels, RowsWithoutAScaleEqualTheCpu) {
  const std::vector<Half> x(5 * 24, Half{1});  // 2^-24
  InputTransform shrunk{.inv_smoothing = std::vector<float>(24, 0x1p-120f), .rotation = {}};
  InputTransform grown{.inv_smoothing = std::vector<float>(24, 0x1p+127f), .rotation = {}};
  const std::vector<Half> large = RandomRows(5, 24, 92);
  for (const Quantizer& quantizer : {Quantizer(), Asymmetric(), InGroups(8)}) {
    const Scheme scheme{.quantizer = quantizer, .transform = shrunk, .group = 8};
    ExpectQuantizedAsTheCpu(x, 24, scheme, "shrunk");
    ExpectQuantizedAsTheCpu(large, 24, {.quantizer = quantizer, .transform = grown, .group = 8},
                            "grown");
  }
}

TEST_F(QuantizeKernels, TransformedRowsRoundedToFp16EqualTheCpu) {
  for (const int64_t cols : {7, 72, 588, 1152}) {
    for (const InputTransform& transform :
         {Smoothing(cols), Rotated(cols & -cols, true, Smoothing(cols)), InputTransform()}) {
      if (transform.rotation && transform.rotation->block < 2) continue;
      const std::vector<Half> x = RandomRows(5, cols, 93);
      const DeviceRows<Half> there(x, cols, {0, 3});
      const DeviceRows<float> values(5, cols);
      const DeviceTransform on_device(transform, cols);
      LaunchTransform(nullptr, {.x = there.view(),
                                .transform = on_device.row(),
                                .rounded = there.view(),
                                .values = values.view()});
      const Quantized expected = QuantizedByTheCpu(x, cols, {.transform = transform});
      std::vector<Half> rounded;
      for (const float value : expected.values) rounded.push_back(ToHalf(value));
      EXPECT_EQ(Equal(expected.values, values.Download()), "") << cols;
      EXPECT_EQ(Equal(rounded, there.Download()), "") << cols;
    }
  }
}

TEST_F(QuantizeKernels, RealValuesOfCodesEqualTheReference) {
  for (const int64_t cols : kColumnCounts) {
    const Scheme schemes[] = {{},
                              {.quantizer = Asymmetric()},
                              {.quantizer = AsymmetricStatic(0.01f, -7)},
                              {.quantizer = InGroups(48), .group = 48},
                              {.quantizer = InGroups(48), .group = 24},
                              {.transform = Smoothing(cols), .rows_per_image = 3}};
    for (const Scheme& scheme : schemes) {
      const std::vector<Half> x = RandomRows(6, cols, 94);
      const DeviceQuantized there(x, cols, scheme);
      LaunchQuantize(nullptr, there.args());
      LaunchRealRows(nullptr, {.codes = there.codes.data(),
                               .codes_stride = CodesStride(cols),
                               .scale = there.scale.data(),
                               .zero_point = there.args().zero_point,
                               .scale_group = there.scale_groups > 1 ? scheme.group : 0,
                               .rows_per_image = scheme.rows_per_image,
                               .values = there.values.view()});
      const ReferenceRows reference = QuantizeRowsReference(
          {x.data(), 6, cols, cols}, {.quantizer = scheme.quantizer,
                                      .transform = scheme.transform,
                                      .rows_per_image = scheme.rows_per_image});
      std::vector<float> expected(x.size());
      RealValuesOf(reference, {expected.data(), 6, cols, cols});
      EXPECT_EQ(Equal(expected, there.values.Download()), "") << cols;
    }
  }
}

}  // namespace
}  // namespace w8a8::test
