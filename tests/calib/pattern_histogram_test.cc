#include "calib/pattern_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

// Heavy-tailed, with subnormals, zeros of both signs and repeated values.
std::vector<Half> HeavyTailed(size_t count, uint64_t seed) {
  std::vector<Half> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float u = HashUniform(seed, i);
    values[i] = ToHalf(u * u * u * u * u * 300.0f);
  }
  values[1].bits = 0x0000;
  values[2].bits = 0x8000;
  values[3] = values[4];
  return values;
}

PatternHistogram Count(const std::vector<Half>& values) {
  PatternHistogram histogram;
  histogram.Add(values);
  return histogram;
}

std::vector<float> SortedMagnitudes(const std::vector<Half>& values) {
  std::vector<float> magnitudes;
  for (const Half value : values) {
    if (IsFinite(value)) magnitudes.push_back(std::fabs(ToFloat(value)));
  }
  std::sort(magnitudes.begin(), magnitudes.end());
  return magnitudes;
}

TEST(PatternHistogram, CountsEveryPatternOnItsOwn) {
  std::vector<Half> values;
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    for (uint32_t n = 0; n < pattern % 3; ++n) values.push_back({static_cast<uint16_t>(pattern)});
  }
  const PatternHistogram histogram = Count(values);
  const std::vector<uint64_t> counts = histogram.counts();
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    ASSERT_EQ(counts[pattern], pattern % 3) << "pattern " << pattern;
  }
  EXPECT_EQ(histogram.Total(), values.size());
}

TEST(PatternHistogram, PercentilesAreThoseOfTheSortedMagnitudes) {
  for (const size_t count : {5u, 100u, 9999u, 20000u}) {
    const std::vector<Half> values = HeavyTailed(count, /*seed=*/count);
    const PatternHistogram histogram = Count(values);
    const std::vector<float> sorted = SortedMagnitudes(values);
    EXPECT_EQ(histogram.AbsMax(), sorted.back());
    for (const double percent : {0.01, 1.0, 25.0, 50.0, 75.0, 99.0, 99.9, 99.99, 100.0}) {
      const double rank = std::ceil(percent / 100.0 * static_cast<double>(count));
      const auto index = static_cast<size_t>(std::max(rank, 1.0)) - 1;
      EXPECT_EQ(histogram.AbsPercentile(percent), sorted[index]) << count << ", " << percent << "%";
    }
  }
}

// numerics.md section 2, per-tensor, on the values themselves and in the words of the page.
double BruteForceMse(const std::vector<Half>& values, float clip) {
  const float scale = clip / 127.0f;
  const float inv_scale = 1.0f / scale;
  long double sum = 0;
  for (const Half value : values) {
    const float x = ToFloat(value);
    const float code = std::nearbyintf(std::clamp(x * inv_scale, -127.0f, 127.0f));
    const long double error = static_cast<long double>(x) - static_cast<long double>(scale) * code;
    sum += error * error;
  }
  return static_cast<double>(sum / static_cast<long double>(values.size()));
}

TEST(PatternHistogram, MeanSquaredErrorIsThatOfEveryValueQuantized) {
  const std::vector<Half> values = HeavyTailed(30000, /*seed=*/3);
  const PatternHistogram histogram = Count(values);
  for (const float clip : {0x1p-24f, 0.01f, 1.0f, 5.0f, 77.7f, histogram.AbsMax(), 70000.0f}) {
    // A binary64 sum of n terms >= 0 is within n * 2^-53 of the exact one.
    const double expected = BruteForceMse(values, clip);
    EXPECT_NEAR(histogram.MeanSquaredError(clip), expected, test::RoundingBound(30'000, expected))
        << clip;
  }
}

TEST(PatternHistogram, NonFiniteValuesAreCountedAndLeftOutOfEverythingElse) {
  std::vector<Half> values = HeavyTailed(1000, /*seed=*/4);
  const PatternHistogram finite = Count(values);
  for (const int bits : {0x7c00, 0xfc00, 0xfc00, 0x7c01, 0x7fff, 0xfe00, 0xffff}) {
    values.push_back({static_cast<uint16_t>(bits)});
  }
  const PatternHistogram histogram = Count(values);
  EXPECT_EQ(histogram.NonFinite(), (NonFiniteCounts{.nan = 4, .inf = 3}));
  EXPECT_EQ(finite.NonFinite(), NonFiniteCounts{});
  EXPECT_EQ(histogram.AbsMax(), finite.AbsMax());
  EXPECT_EQ(histogram.AbsPercentile(99.0), finite.AbsPercentile(99.0));
  EXPECT_EQ(histogram.MeanSquaredError(5.0f), finite.MeanSquaredError(5.0f));
  EXPECT_EQ(histogram.Total(), 1007u);
}

TEST(PatternHistogram, AnEmptyOneHasNoMagnitude) {
  const PatternHistogram histogram;
  EXPECT_EQ(histogram.AbsMax(), 0.0f);
  EXPECT_EQ(histogram.AbsPercentile(99.99), 0.0f);
  EXPECT_EQ(histogram.MeanSquaredError(1.0f), 0.0);
  EXPECT_TRUE(histogram.Magnitudes().empty());
}

TEST(PatternHistogram, MergingIsCountingBoth) {
  std::vector<Half> first = HeavyTailed(1000, /*seed=*/5);
  const std::vector<Half> second = HeavyTailed(777, /*seed=*/6);
  PatternHistogram merged = Count(first);
  merged.Merge(Count(second));
  first.insert(first.end(), second.begin(), second.end());
  EXPECT_TRUE(std::ranges::equal(merged.counts(), Count(first).counts()));
}

TEST(PatternHistogram, ACounterThatWouldWrapIsRefused) {
  std::vector<uint64_t> counts(PatternHistogram::kPatterns, 0);
  counts[5] = std::numeric_limits<uint64_t>::max();
  PatternHistogram full(counts);
  EXPECT_THROW(full.Merge(full), Error);
}

// Past 2^32 values counters of four bytes would have wrapped.
TEST(PatternHistogram, MergesPastTheValuesThatFourBytesCount) {
  PatternHistogram histogram;
  histogram.Add(std::vector<Half>(3, Half{0x3c00}));
  histogram.Add(std::vector<Half>(1, Half{0x4000}));
  for (int doubling = 1; doubling <= 34; ++doubling) {
    histogram.Merge(PatternHistogram(histogram));
    const std::vector<uint64_t> counts = histogram.counts();
    EXPECT_EQ(counts[0x3c00], uint64_t{3} << doubling);
    EXPECT_EQ(counts[0x4000], uint64_t{1} << doubling);
    EXPECT_EQ(histogram.Total(), uint64_t{4} << doubling);
  }
}

}  // namespace
}  // namespace w8a8
