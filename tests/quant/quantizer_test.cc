// Who shares a scale, and that a quantizer says what numerics.h computes.
#include "quant/quantizer.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "quant/row_scales.h"
#include "quant/spec.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");
constexpr Quantizer kStatic = Quantizer::Static(0.125f);

TEST(Quantizer, ADynamicOneTakesTheScaleOfTheRowAndAStaticOneItsOwn) {
  EXPECT_EQ(Quantizer{}.ScaleOf({0.0f, 10.0f}).scale, 10.0f / 127.0f);
  EXPECT_EQ(Quantizer{.clip_range = 5.0f}.ScaleOf({-10.0f, 1.0f}).inv_scale, 127.0f / 5.0f);
  EXPECT_EQ(kStatic.ScaleOf({0.0f, 10.0f}).scale, 0.125f);
  EXPECT_EQ(kStatic.ScaleOf({0.0f, 10.0f}).inv_scale, 8.0f);
}

TEST(Quantizer, CodesAndRealValuesAreThoseOfTheScale) {
  const ActivationScale row = kStatic.ScaleOf({});
  EXPECT_EQ(kStatic.CodeOf(0.3125f, row), 2);  // 2.5, a midpoint
  EXPECT_EQ(Quantizer::RealOf(2, row), 0.25f);
  EXPECT_EQ(kStatic.CodeOf(1e4f, row), Quantizer::kHighestCode);
  EXPECT_EQ(kStatic.CodeOf(-kInfinity, row), kStatic.lowest_code());
  EXPECT_TRUE(kStatic.Saturates(1e4f, row));
  EXPECT_FALSE(kStatic.Saturates(127.0f * 0.125f, row));
}

constexpr Quantizer kAsymmetric = {.symmetric = false};

// lo = min(0, row minimum), hi = max(0, row maximum), as numerics.md says and vLLM does not.
TEST(Quantizer, AnAsymmetricRowHasAScaleAndAZeroPointOfItsOwn) {
  const ActivationScale row = kAsymmetric.ScaleOf({-1.0f, 3.0f});
  EXPECT_EQ(row.scale, 4.0f / 255.0f);
  EXPECT_EQ(row.zero_point, -64);  // -128 + 63.75, to even
  EXPECT_EQ(kAsymmetric.CodeOf(-1.0f, row), -128);
  EXPECT_EQ(kAsymmetric.CodeOf(0.0f, row), -64);
  EXPECT_EQ(kAsymmetric.CodeOf(0.5f, row), -32);
  EXPECT_EQ(kAsymmetric.CodeOf(3.0f, row), 127);
  EXPECT_EQ(kAsymmetric.CodeOf(kNan, row), -64);
  EXPECT_EQ(kAsymmetric.CodeOf(kInfinity, row), 127);
  EXPECT_EQ(Quantizer::RealOf(-32, row), 32.0f * row.scale);
  EXPECT_FALSE(kAsymmetric.Saturates(3.0f, row));
  EXPECT_TRUE(kAsymmetric.Saturates(3.1f, row));
  EXPECT_EQ(kAsymmetric.ScaleOf({0.0f, 2.0f}).zero_point, -128);
  EXPECT_EQ(kAsymmetric.ScaleOf({-2.0f, 0.0f}).zero_point, 127);
}

TEST(Quantizer, ARowWhoseReciprocalOverflowsIsAZeroRow) {
  for (const bool symmetric : {true, false}) {
    const Quantizer quantizer{.symmetric = symmetric};
    const ActivationScale row = quantizer.ScaleOf({0.0f, 0x1p-149f});
    EXPECT_EQ(row.scale, 0.0f);
    EXPECT_EQ(row.zero_point, 0);
    EXPECT_EQ(quantizer.CodeOf(0x1p-149f, row), 0);
    EXPECT_EQ(quantizer.CodeOf(kInfinity, row), 0);
  }
  const ActivationScale wide = kAsymmetric.ScaleOf({-3e38f, 3e38f});
  EXPECT_EQ(wide.scale, 0.0f);
}

TEST(Quantizer, AGroupIsClippedByItselfAndTheLastMayBeShort) {
  const Quantizer quantizer{
      .granularity = Granularity::kGroup, .clip_range = 4.0f, .group_size = 2};
  EXPECT_EQ(quantizer.GroupsOf(5), 3);
  const float row[] = {1.0f, -2.0f, 8.0f, 0.0f, 3.0f};
  int8_t codes[5];
  ActivationScale scales[3];
  QuantizeCounts counts;
  QuantizeRowReference(row, quantizer, codes, scales, &counts);
  EXPECT_EQ(scales[0].scale, 2.0f / 127.0f);
  EXPECT_EQ(scales[1].scale, 4.0f / 127.0f);
  EXPECT_EQ(scales[2].scale, 3.0f / 127.0f);
  EXPECT_EQ((std::vector<int>{codes[0], codes[1], codes[2], codes[3], codes[4]}),
            (std::vector<int>{64, -127, 127, 0, 127}));
  EXPECT_EQ(counts.saturated, 1u);
}

RowScales ScalesOf(const Quantizer& quantizer, const std::vector<float>& rows) {
  std::vector<Half> x(rows.size());
  ToHalf(rows, x);
  const auto count = static_cast<int64_t>(rows.size());
  return QuantizeRowsReference({x.data(), count, 1, 1}, {.quantizer = quantizer}).scales;
}

TEST(AmaxOf, IsTheLargestFiniteMagnitudeOfAllRows) {
  const std::vector<Half> rows = {ToHalf(1.0f), ToHalf(-3.5f), ToHalf(kInfinity),    // row 0
                                  ToHalf(kNan), ToHalf(2.0f),  ToHalf(-kInfinity)};  // row 1
  EXPECT_EQ(AmaxOf({rows.data(), 2, 3, 3}), 3.5f);
  EXPECT_EQ(AmaxOf({rows.data() + 2, 2, 1, 1}), 0.0f) << "nothing is finite";
  EXPECT_EQ(AmaxOf({rows.data() + 1, 1, 1, 1}), 3.5f);
}

TEST(RowScales, OfAStaticQuantizerOneStandsForAllRows) {
  const std::vector<float> rows = {127.0f, 254.0f, 381.0f};  // of scale 1, 2 and 3
  EXPECT_EQ(ScalesOf(kStatic, rows).count(), 1);
  EXPECT_EQ(ScalesOf(kStatic, rows).At(2, 0).scale, 0.125f);
  EXPECT_EQ(ScalesOf(Quantizer{}, rows).count(), 3);
  EXPECT_EQ(ScalesOf(Quantizer{}, rows).At(2, 0).scale, 3.0f);
}

// One row with a scale of its own is not a shared scale, though both are one number.
TEST(RowScales, OneRowDoesNotShare) {
  const std::vector<float> one = {1.0f};
  EXPECT_FALSE(ScalesOf(Quantizer{}, one).shared);
  EXPECT_TRUE(ScalesOf(kStatic, one).shared);
}

TEST(GranularityName, EachHasItsOwnWord) {
  EXPECT_EQ(NameOf(Granularity::kTensor), "per-tensor");
  EXPECT_EQ(NameOf(Granularity::kToken), "per-token");
  EXPECT_EQ(NameOf(Granularity::kChannel), "per-channel");
  EXPECT_EQ(NameOf(Granularity::kGroup), "per-group");
}

TEST(CheckQuantizer, RefusesWhatHasNoMeaning) {
  EXPECT_NO_THROW(CheckQuantizer({}, "site"));
  EXPECT_NO_THROW(CheckQuantizer({.clip_range = 5.0f}, "site"));
  EXPECT_NO_THROW(CheckQuantizer({.granularity = Granularity::kTensor, .scale = 0.1f}, "s"));
  for (const float clip_range : {0.0f, -1.0f, kNan}) {
    EXPECT_THROW(CheckQuantizer({.clip_range = clip_range}, "site"), Error);
  }
  for (const float scale : {0.0f, -1.0f, kNan, kInfinity, 0x1p-140f, 0x1p-149f}) {
    EXPECT_THROW(CheckQuantizer({.granularity = Granularity::kTensor, .scale = scale}, "site"),
                 Error)
        << scale;
  }
  EXPECT_THROW(CheckQuantizer({.granularity = Granularity::kChannel}, "site"), Error);
  EXPECT_THROW(CheckQuantizer({.zero_point = 3}, "site"), Error);
}

TEST(QuantizeOutputs, StoresTheValueOfTheCodeAndEveryZeroAsPlusZero) {
  const float x[] = {1.0f, -1.3f, 1000.0f, std::nanf(""), -0.0f, -0.001f};
  const float code[] = {20, -26, 127, 0, 0, 0};
  std::vector<Half> y(6);
  ToHalf(x, y);
  std::vector<int8_t> codes(6);
  EXPECT_EQ(QuantizeOutputs(Quantizer::Static(0.05f), {y.data(), 1, 6, 6}, {codes.data(), 1, 6, 6}),
            1u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(codes[i], code[i]) << i;
    EXPECT_EQ(y[i], ToHalf(code[i] * 0.05f)) << i;
  }
  Half large = ToHalf(-1.0f);  // 127 of the scale are less than FP16's least value
  EXPECT_EQ(QuantizeOutputs(Quantizer::Static(1e-10f), {&large, 1, 1, 1}), 1u);
  EXPECT_EQ(large.bits, 0);
}

}  // namespace
}  // namespace w8a8
