// Wilson's interval against published and independently computed values; the bootstrap's draws,
// percentiles and coverage.
#include "eval/measure/intervals.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "gtest/gtest.h"
#include "runtime/base/counter_hash.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

TEST(WilsonInterval, EqualsNewcombesTable) {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3: score without correction.
  struct Row {
    double successes;
    uint64_t trials;
    double low, high;
  };
  for (const Row& row : {Row{81, 263, 0.2553, 0.3662}, Row{15, 148, 0.0624, 0.1605},
                         Row{0, 20, 0.0, 0.1611}, Row{1, 29, 0.0061, 0.1718}}) {
    const Estimate wilson = WilsonInterval(row.successes, row.trials);
    EXPECT_NEAR(wilson.low, row.low, PrintedBound(4)) << row.successes << " of " << row.trials;
    EXPECT_NEAR(wilson.high, row.high, PrintedBound(4)) << row.successes << " of " << row.trials;
  }
}

TEST(WilsonInterval, BoundsSolveTheScoreEquation) {
  // By definition each bound p has |share - p| = z sqrt(p (1 - p) / n).
  for (const double successes : {1, 110, 166, 219}) {
    const Estimate wilson = WilsonInterval(successes, 220);
    for (const double p : {wilson.low, wilson.high}) {
      EXPECT_NEAR(std::fabs(wilson.value - p), 1.959963984540054 * std::sqrt(p * (1 - p) / 220),
                  RoundingBound(100, 1));
    }
  }
}

TEST(WilsonInterval, IsDefinedAtTheEnds) {
  EXPECT_EQ(WilsonInterval(0, 10).low, 0);
  EXPECT_EQ(WilsonInterval(10, 10).high, 1);
  EXPECT_LT(WilsonInterval(10, 10).low, 1);
  EXPECT_TRUE(std::isnan(WilsonInterval(0, 0).value));
}

TEST(PercentileOfSorted, IsNumpysDefault) {
  const std::vector<double> values = {1, 2, 4, 8, 16};
  EXPECT_EQ(PercentileOfSorted(values, 0), 1);
  EXPECT_EQ(PercentileOfSorted(values, 1), 16);
  EXPECT_EQ(PercentileOfSorted(values, 0.5), 4);
  EXPECT_NEAR(PercentileOfSorted(values, 0.01), 1.04, RoundingBound(8, 1.04));
  EXPECT_NEAR(PercentileOfSorted(values, 0.9), 12.8, RoundingBound(8, 12.8));
  EXPECT_EQ(PercentileOfSorted(std::vector<double>{3}, 0.01), 3);
  EXPECT_EQ(PercentileOfSorted(std::vector<double>{HUGE_VAL, HUGE_VAL}, 0.5), HUGE_VAL);
}

TEST(Bootstrap, DrawsEveryImageEquallyOftenAndAlikeForASeed) {
  constexpr size_t kImages = 50;
  std::vector<int> drawn(kImages);
  std::vector<uint32_t> first, again;
  int resamples = 0;
  ForEachResample(kImages, 3, [&](std::span<const uint32_t> draws) {
    if (resamples++ == 0) first.assign(draws.begin(), draws.end());
    for (const uint32_t draw : draws) ++drawn.at(draw);
  });
  ForEachResample(kImages, 3, [&](std::span<const uint32_t> draws) {
    if (again.empty()) again.assign(draws.begin(), draws.end());
  });
  EXPECT_EQ(resamples, kBootstrapResamples);
  EXPECT_EQ(first, again);
  EXPECT_LT(std::set<uint32_t>(first.begin(), first.end()).size(), kImages);  // with replacement
  // One draw in kImages is this image, each time independently.
  const double draws = kImages * double{kBootstrapResamples};
  const double share = 1.0 / kImages;
  const double bound = MeanBound(std::sqrt(share * (1 - share)), draws);
  const auto [least, most] = std::minmax_element(drawn.begin(), drawn.end());
  EXPECT_NEAR(*least / draws, share, bound);
  EXPECT_NEAR(*most / draws, share, bound);
}

TEST(Bootstrap, CoversTheTrueMeanAboutNineteenTimesInTwenty) {
  // 200 experiments of 40 uniform values each, true mean 0. The percentile bootstrap of a mean at
  // n = 40 covers a little less than 95 %: between 88 % and 99 % is 176 to 198.
  int covered = 0;
  for (uint64_t experiment = 0; experiment < 200; ++experiment) {
    std::vector<double> values(40);
    for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(experiment + 77, i);
    std::vector<double> means;
    ForEachResample(values.size(), experiment, [&](std::span<const uint32_t> draws) {
      double sum = 0;
      for (const uint32_t draw : draws) sum += values[draw];
      means.push_back(sum / 40);
    });
    const Estimate interval = PercentileInterval(0, means);
    covered += interval.low <= 0 && 0 <= interval.high;
  }
  EXPECT_GE(covered, 176);
  EXPECT_LE(covered, 198);
}

TEST(PercentileInterval, LeavesOutUndefinedResamples) {
  const Estimate interval = PercentileInterval(2, {3, kUndefined, 1, 2});
  EXPECT_NEAR(interval.low, 1.05, RoundingBound(8, 3));
  EXPECT_NEAR(interval.high, 2.95, RoundingBound(8, 3));
  EXPECT_TRUE(std::isnan(PercentileInterval(2, {kUndefined}).low));
}

}  // namespace
}  // namespace w8a8::test
