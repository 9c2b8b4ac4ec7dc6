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
  EXPECT_EQ(Quantizer{}.ScaleOfRow(10.0f).scale, 10.0f / 127.0f);
  EXPECT_EQ(Quantizer{.clip_range = 5.0f}.ScaleOfRow(10.0f).inv_scale, 127.0f / 5.0f);
  EXPECT_EQ(kStatic.ScaleOfRow(10.0f).scale, 0.125f);
  EXPECT_EQ(kStatic.ScaleOfRow(10.0f).inv_scale, 8.0f);
}

TEST(Quantizer, CodesAndRealValuesAreThoseOfTheScale) {
  const ActivationScale row = kStatic.ScaleOfRow(0.0f);
  EXPECT_EQ(kStatic.CodeOf(0.3125f, row), 2);  // 2.5, a midpoint
  EXPECT_EQ(kStatic.RealOf(2, row.scale), 0.25f);
  EXPECT_EQ(kStatic.CodeOf(1e4f, row), Quantizer::kHighestCode);
  EXPECT_EQ(kStatic.CodeOf(-kInfinity, row), Quantizer::kLowestCode);
  EXPECT_TRUE(kStatic.Saturates(1e4f, row));
  EXPECT_FALSE(kStatic.Saturates(127.0f * 0.125f, row));
}

TEST(RowScales, OfAStaticQuantizerOneStandsForAllRows) {
  const std::vector<float> repeated(3, 0.125f), own = {1.0f, 2.0f, 3.0f};
  EXPECT_EQ(kStatic.ScaleCount(3), 1);
  EXPECT_EQ(ScalesOf(kStatic, repeated).count(), 1);
  EXPECT_EQ(ScalesOf(kStatic, repeated)[2], 0.125f);
  EXPECT_EQ(Quantizer{}.ScaleCount(3), 3);
  EXPECT_EQ(ScalesOf(Quantizer{}, own)[2], 3.0f);
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

}  // namespace
}  // namespace w8a8
