// Weights of any width, in groups or with one scale for all, and with the zero points of a file.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/spec.h"
#include "quant/weight_codes.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/half.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

std::vector<float> RandomFloats(size_t count, uint64_t seed) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = HashUniform(seed, i);
  return values;
}

constexpr int64_t kRows = 5, kCols = 37;

WeightSpec Groups(int bits, int64_t group_size) {
  return {.granularity = Granularity::kGroup, .num_bits = bits, .group_size = group_size};
}

using test::Contains;
using test::ErrorOf;

TEST(WeightGroups, EachHasTheScaleOfItsLargestWeight) {
  const std::vector<float> w = RandomFloats(kRows * kCols, 1);
  for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
    for (const int64_t size : {1, 8, 36}) {
      const WeightCodes made =
          QuantizeWeights("site", {w.data(), kRows, kCols, kCols}, Groups(bits, size));
      ASSERT_EQ(made.scale.values.size(), static_cast<size_t>(kRows * ((kCols + size - 1) / size)));
      const std::vector<float> real = made.RealValues();
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < kCols; ++c) {
          float amax = 0.0f;
          const int64_t first = c / size * size;
          for (int64_t i = first; i < std::min(first + size, kCols); ++i) {
            amax = std::max(amax, std::abs(w[static_cast<size_t>(r * kCols + i)]));
          }
          const float scale = amax / static_cast<float>((1 << (bits - 1)) - 1);
          const auto at = static_cast<size_t>(r * kCols + c);
          EXPECT_EQ(made.ScaleOf(r, c / size), scale);
          EXPECT_EQ(real[at], std::nearbyint(w[at] / scale) * scale);
        }
      }
    }
  }
}

TEST(WeightGroups, OneGroupARowIsPerChannelAndOneScaleForAllIsPerTensor) {
  const std::vector<float> w = RandomFloats(kRows * kCols, 2);
  const MatView<const float> view{w.data(), kRows, kCols, kCols};
  EXPECT_EQ(QuantizeWeights("site", view, Groups(8, 37)), QuantizeWeights("site", view));
  EXPECT_EQ(QuantizeWeights("site", view, Groups(8, 1000)), QuantizeWeights("site", view));
  const WeightCodes tensor = QuantizeWeights("site", view, {.granularity = Granularity::kTensor});
  float amax = 0.0f;
  for (const float value : w) amax = std::max(amax, std::abs(value));
  EXPECT_EQ(tensor.scale.values, std::vector<float>{amax / 127.0f});
  EXPECT_EQ(tensor.Spec().granularity, Granularity::kTensor);
}

TEST(WeightGroups, TheZeroPointsOfAFileShiftTheRealValues) {
  WeightCodes weight{.n = 1,
                     .k = 3,
                     .bits = 4,
                     .codes = {-8, 7, 0},
                     .scale = {Granularity::kGroup, 2, {0.5f, 2.0f}},
                     .zero_points = {-3, 1}};
  FinishCodes("site", weight);
  EXPECT_EQ(weight.RealValues(), (std::vector<float>{-2.5f, 5.0f, -2.0f}));
  EXPECT_EQ(weight.code_sum, std::vector<int32_t>{-1});
  EXPECT_FALSE(weight.Spec().symmetric);
  weight.zero_points = {-9, 1};
  EXPECT_NE(ErrorOf([&] { FinishCodes("site", weight); }).find("weight_zero_point[0] is -9"),
            std::string::npos);
  weight.zero_points = {1};
  EXPECT_NE(ErrorOf([&] { FinishCodes("site", weight); }).find("weight_zero_point holds 1"),
            std::string::npos);
}

// formats.md section 3: the row (0.1, -0.2, 0.05, 0.19921875) in BF16.
TEST(WeightConvention, VllmRoundsScaleAndQuotientToTheDtypeOfTheFile) {
  std::vector<float> row = {0.1f, -0.2f, 0.05f, 0.19921875f};
  for (float& value : row) value = ToFloat(ToBFloat16(value));
  const WeightSpec spec{.convention = WeightConvention::kVllm};
  const WeightCodes made = QuantizeWeights("site", {row.data(), 1, 4, 4}, spec, Dtype::kBF16);
  EXPECT_EQ(made.scale.values, std::vector<float>{0.00157928467f});
  EXPECT_EQ(made.codes, (std::vector<int8_t>{64, -127, 32, 126}));
  const std::vector<float> zeros(4, 0.0f);
  const WeightCodes none = QuantizeWeights("site", {zeros.data(), 1, 4, 4}, spec, Dtype::kBF16);
  EXPECT_EQ(none.scale.values, std::vector<float>{1.0f});
}

const std::string kNone = "no error was thrown";

TEST(CheckSitePlan, NamesTheSiteAndWhatDoesNotGoTogether) {
  const auto refusal = [](const SitePlan& plan, int64_t k = 96) {
    return ErrorOf([&] { CheckSitePlan("blocks.1.mlp.fc2", plan, k); });
  };
  EXPECT_EQ(refusal({}), kNone);
  EXPECT_EQ(refusal({.input = {}, .weight = {}}), kNone);
  const Quantizer groups{.granularity = Granularity::kGroup, .group_size = 32};
  EXPECT_EQ(refusal({.input = groups, .weight = Groups(4, 64)}), kNone);
  EXPECT_NE(refusal({.input = groups, .weight = Groups(4, 48)}).find("32 inputs and 48 weights"),
            std::string::npos);
  EXPECT_EQ(refusal({.input = groups, .weight = Groups(4, 96)}), kNone);  // one group is none
  const Quantizer asymmetric{.symmetric = false};
  EXPECT_EQ(refusal({.input = asymmetric}, 33025), kNone);
  EXPECT_NE(refusal({.input = asymmetric}, 33026).find("33025"), std::string::npos);
  EXPECT_NE(refusal({.input = groups, .first_row_twice = true}).find("without groups"),
            std::string::npos);
  EXPECT_NE(refusal({.input = {}, .first_row_twice = true}).find("coded twice"), std::string::npos);
  EXPECT_NE(refusal({.weight = {}}).find("FP16 weights"), std::string::npos);
  EXPECT_NE(refusal({.output = Quantizer::Static(600.0f)}).find("output scale is 600"),
            std::string::npos);
  EXPECT_NE(refusal({.output = Quantizer()}).find("blocks.1.mlp.fc2"), std::string::npos);
  const SitePlan zero_point{.input = Quantizer{.zero_point = 3}};
  EXPECT_NE(refusal(zero_point).find("zero point is 3"), std::string::npos);
}

TEST(ProductGroup, IsTheSmallerGroupOfTheTwo) {
  const Quantizer groups{.granularity = Granularity::kGroup, .group_size = 32};
  EXPECT_EQ(ProductGroup({}, 96), 96);
  EXPECT_EQ(ProductGroup({.input = groups}, 96), 32);
  EXPECT_EQ(ProductGroup({.input = groups, .weight = Groups(4, 8)}, 96), 8);
  EXPECT_EQ(ProductGroup({.weight = Groups(4, 128)}, 96), 96);
}

}  // namespace
}  // namespace w8a8
