// Codes and scales at the places where implementations differ: midpoints, limits, tiny rows.
#include "quant/numerics.h"

#include <cfenv>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

TEST(RoundToEven, EqualsNearbyintOnEveryHalfInteger) {
  ASSERT_EQ(std::fegetround(), FE_TONEAREST);
  for (int twice = -40000; twice <= 40000; ++twice) {
    const float value = 0.5f * static_cast<float>(twice);
    ASSERT_EQ(RoundToEven(value), std::nearbyint(value)) << value;
    ASSERT_EQ(RoundToEven(std::nextafter(value, kInfinity)),
              std::nearbyint(std::nextafter(value, kInfinity)));
  }
}

TEST(WeightCode, RoundsMidpointsToEvenAndStopsAtTheLimit) {
  EXPECT_EQ(WeightCode(0.5f, 1.0f), 0);
  EXPECT_EQ(WeightCode(1.5f, 1.0f), 2);
  EXPECT_EQ(WeightCode(-2.5f, 1.0f), -2);
  EXPECT_EQ(WeightCode(126.5f, 1.0f), 126);
  EXPECT_EQ(WeightCode(-300.0f, 1.0f), -127);
  EXPECT_EQ(WeightCode(3e38f, 1e-30f), 127);  // the quotient is infinite
  EXPECT_EQ(WeightCode(7.6f, 1.0f, /*max_code=*/7), 7);
}

TEST(WeightScale, OfATinyRowIsOneAndItsCodesAreZero) {
  EXPECT_EQ(WeightScale(0.0f), 1.0f);
  EXPECT_EQ(WeightScale(127.0f * 0x1p-126f), 0x1p-126f);
  const float below = std::nextafter(127.0f * 0x1p-126f, 0.0f);
  EXPECT_EQ(WeightScale(below), 1.0f);
  EXPECT_EQ(WeightCode(below, WeightScale(below)), 0);
}

TEST(ActivationCode, MultipliesByTheReciprocal) {
  EXPECT_EQ(ActivationCode(0.0015f, 1.0f / 0.001f), 1);  // 1.4999999; x / scale would be 1.5
  EXPECT_EQ(ActivationCode(2.5f, 1.0f), 2);
  EXPECT_EQ(ActivationCode(-127.5f, 1.0f), -127);
  EXPECT_EQ(ActivationCode(kNan, 1.0f), 0);
  EXPECT_EQ(ActivationCode(kInfinity, 1.0f), 127);
  EXPECT_EQ(ActivationCode(-kInfinity, 1.0f), -127);
  EXPECT_EQ(ActivationCode(kInfinity, 0.0f), 0);  // a zero row
}

TEST(IsSaturated, StartsAtTheMidpointBeyondTheLastCode) {
  EXPECT_FALSE(IsSaturated(127.49f, 1.0f));
  EXPECT_TRUE(IsSaturated(-127.5f, 1.0f));
  EXPECT_FALSE(IsSaturated(kInfinity, 1.0f));  // counted as infinite instead
  EXPECT_FALSE(IsSaturated(kNan, 1.0f));
}

TEST(TokenScale, ClipsAtR) {
  EXPECT_EQ(TokenScale(10.0f, kInfinity).scale, 10.0f / 127.0f);
  EXPECT_EQ(TokenScale(10.0f, 5.0f).scale, 5.0f / 127.0f);
  EXPECT_EQ(TokenScale(10.0f, 5.0f).inv_scale, 127.0f / 5.0f);
  EXPECT_EQ(TokenScale(0.0f, 5.0f).scale, 0.0f);
  EXPECT_EQ(TokenScale(0.0f, 5.0f).inv_scale, 0.0f);
}

TEST(Dequantize, IsOneFusedStepAfterTheWeightScale) {
  // With a separate product and sum the 2^-30 would be lost.
  const float y = Dequantize(1, 1.0f + 0x1p-15f, 1.0f + 0x1p-15f, -1.0f);
  EXPECT_EQ(y, 0x1p-14f + 0x1p-30f);
  EXPECT_EQ(Dequantize((1 << 24) + 1, 1.0f, 1.0f, 0.0f), 0x1p24f);  // float(acc) ties to even
}

TEST(QuantizeRowsReference, CountsWhatIsNotFiniteAndLeavesItOutOfTheScale) {
  const Half row[] = {ToHalf(1.0f), ToHalf(kInfinity), ToHalf(kNan), ToHalf(-2.0f)};
  const ReferenceRows rows = QuantizeRowsReference({row, 1, 4, 4}, {});
  EXPECT_EQ(rows.scales.At(0, 0).scale, 2.0f / 127.0f);
  EXPECT_EQ(rows.codes, (std::vector<int8_t>{64, 127, 0, -127}));  // 63.5 ties to even
  EXPECT_EQ(rows.counts.nan, 1u);
  EXPECT_EQ(rows.counts.inf, 1u);
  EXPECT_EQ(rows.counts.saturated, 0u);
}

}  // namespace
}  // namespace w8a8
