#include "runtime/base/half.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

Half Pattern(uint32_t bits) { return Half{static_cast<uint16_t>(bits)}; }
float FloatOf(uint32_t bits) { return std::bit_cast<float>(bits); }

// The definition of binary16 in binary64 arithmetic.
double ValueByDefinition(Half h) {
  const int exponent = (h.bits >> 10) & 31;
  const int fraction = h.bits & 1023;
  const double sign = (h.bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? NAN : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

// The compiler's conversion, a soft-float routine of libgcc without F16C.
Half HalfByCompiler(float value) { return {std::bit_cast<uint16_t>(static_cast<_Float16>(value))}; }

// Every upper half of a binary32 with the lower halves at and around the places where rounding to
// a fraction of 10 bits turns.
std::vector<float> FloatsAroundEveryMidpoint() {
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x1fffu, 0x2000u,
                                 0x2fffu, 0x3000u, 0x3001u, 0x7000u, 0x8000u, 0xb000u, 0xffffu}) {
      values.push_back(FloatOf(upper << 16 | lower));
    }
  }
  return values;
}

TEST(Half, EveryPatternWidensToItsValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Half half = Pattern(bits);
    const double expected = ValueByDefinition(half);
    const double actual = ToFloat(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << bits;
      ASSERT_TRUE(IsNan(half)) << bits;
    } else {
      ASSERT_EQ(expected, actual) << bits;
      ASSERT_EQ(std::signbit(expected), std::signbit(actual)) << bits;
      ASSERT_FALSE(IsNan(half)) << bits;
    }
    ASSERT_EQ(std::isfinite(expected), IsFinite(half)) << bits;
  }
}

TEST(Half, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Half half = Pattern(bits);
    if (IsNan(half)) {
      ASSERT_TRUE(IsNan(ToHalf(ToFloat(half)))) << bits;
    } else {
      ASSERT_EQ(half.bits, ToHalf(ToFloat(half)).bits) << bits;
    }
  }
}

// Between neighbours a < b: the middle goes to the even pattern, the float next to it to the
// nearer.
TEST(Half, MidpointsGoToTheEvenNeighbour) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto middle = static_cast<float>(
        (ValueByDefinition(Pattern(bits)) + ValueByDefinition(Pattern(bits + 1))) / 2);
    ASSERT_EQ(ToHalf(middle).bits, (bits + 1) & ~1u) << bits;
    ASSERT_EQ(ToHalf(std::nextafter(middle, 0.0f)).bits, bits);
    ASSERT_EQ(ToHalf(std::nextafter(middle, 1e9f)).bits, bits + 1);
    ASSERT_EQ(ToHalf(-middle).bits, 0x8000u | ((bits + 1) & ~1u)) << bits;
  }
}

TEST(Half, OverflowBeginsAt65520) {
  EXPECT_EQ(ToHalf(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(ToHalf(65520.0f).bits, 0x7c00);
  EXPECT_EQ(ToHalf(-65520.0f).bits, 0xfc00);
  EXPECT_EQ(ToFloat(Pattern(0x7bff)), kMaxHalf);
}

TEST(Half, AgreesWithTheCompilerAroundEveryMidpointAndOnRandomFloats) {
  std::vector<float> values = FloatsAroundEveryMidpoint();
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    values.push_back(FloatOf(static_cast<uint32_t>(CounterHash(1, i))));
  }
  for (const float value : values) {
    if (std::isnan(value)) {
      ASSERT_TRUE(IsNan(ToHalf(value)));
    } else {
      ASSERT_EQ(HalfByCompiler(value).bits, ToHalf(value).bits) << std::hexfloat << value;
    }
  }
}

TEST(Half, WholeRowsEqualSingleValuesForEveryLength) {
  const std::vector<float> floats = FloatsAroundEveryMidpoint();
  std::vector<Half> patterns;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) patterns.push_back(Pattern(bits));
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{65536}}) {
    std::vector<float> expected_floats;
    for (size_t i = 0; i < count; ++i) expected_floats.push_back(ToFloat(patterns[i]));
    std::vector<float> actual_floats(count);
    ToFloat(std::span(patterns).first(count), actual_floats);
    EXPECT_EQ(test::Equal(expected_floats, actual_floats), "") << count;
  }
  std::vector<Half> expected;
  for (const float value : floats) expected.push_back(ToHalf(value));
  std::vector<Half> actual(floats.size());
  ToHalf(floats, actual);
  EXPECT_EQ(test::Equal(expected, actual), "");
}

// Conversions that a test can tell apart from all others.
constexpr HalfConversions kMarked = {
    .to_float = [](const Half*, float* to, int64_t count) { std::fill_n(to, count, 42.0f); },
    .to_half = [](const float*, Half* to, int64_t count) { std::fill_n(to, count, Half{7}); }};

TEST(Half, WholeRowsRunOnTheConversionsInUse) {
  const HalfConversions* before = UseHalfConversions(&kMarked);
  std::vector<float> floats(3);
  std::vector<Half> halves(3);
  ToFloat(halves, floats);
  ToHalf(floats, halves);
  UseHalfConversions(before);
  EXPECT_EQ(floats, std::vector<float>(3, 42.0f));
  EXPECT_EQ(halves, std::vector<Half>(3, Half{7}));
}

TEST(BFloat16, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 brain{static_cast<uint16_t>(bits)};
    if (std::isnan(ToFloat(brain))) {
      ASSERT_TRUE(std::isnan(ToFloat(ToBFloat16(ToFloat(brain))))) << bits;
    } else {
      ASSERT_EQ(bits, ToBFloat16(ToFloat(brain)).bits);
    }
  }
}

TEST(BFloat16, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {  // 0x7f7f rounds up to infinity
    const uint32_t even = (bits + 1) & ~1u;
    ASSERT_EQ(ToBFloat16(FloatOf(bits << 16 | 0x7fff)).bits, bits);
    ASSERT_EQ(ToBFloat16(FloatOf(bits << 16 | 0x8000)).bits, even);
    if (bits < 0x7f7f) {
      ASSERT_EQ(ToBFloat16(FloatOf(bits << 16 | 0x8001)).bits, bits + 1);
    }
  }
  EXPECT_EQ(ToBFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
}

}  // namespace
}  // namespace w8a8
