#include "calib/clip_rules.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"

namespace w8a8 {
namespace {

struct Distribution {
  std::string name;
  std::vector<Half> values;
};

// Sums of uniform values are close to normal; powers have heavy tails.
std::vector<Half> Made(size_t count, float width, int power, size_t outliers, float outlier) {
  std::vector<Half> values(count);
  for (size_t i = 0; i < count; ++i) {
    float sum = 0.0f;
    for (uint64_t term = 0; term < 12; ++term) sum += HashUniform(77, i * 12 + term);
    values[i] =
        ToHalf(i < outliers ? outlier : width * std::pow(sum / 2.0f, static_cast<float>(power)));
  }
  return values;
}

std::vector<Distribution> Distributions(size_t count) {
  std::vector<Half> uniform(count);
  for (size_t i = 0; i < uniform.size(); ++i) uniform[i] = ToHalf(3.0f * HashUniform(5, i));
  return {{"normal", Made(count, 1.0f, 1, 0, 0.0f)},
          {"square", Made(count, 1.0f, 2, 0, 0.0f)},  // these two have their least divergence
          {"cube", Made(count, 1.0f, 3, 0, 0.0f)},    // between the first and the last candidate
          {"fifth power", Made(count, 1.0f, 5, 0, 0.0f)},
          {"normal with a massive activation", Made(count, 1.0f, 1, 1, 570.0f)},
          {"normal with every 60th 40", Made(count, 1.0f, 1, count / 60, 40.0f)},
          {"subnormal", Made(count, 0x1p-18f, 1, 0, 0.0f)},
          {"near the largest FP16", Made(count, 15000.0f, 1, 0, 0.0f)},
          {"uniform", uniform},
          {"one magnitude", std::vector<Half>(50, ToHalf(-2.5f))}};
}

PatternHistogram Count(const std::vector<Half>& values) {
  PatternHistogram histogram;
  histogram.Add(values);
  return histogram;
}

TEST(ClipByMse, IsTheBestOfAllFp16ClipsOrNoWorseThanAThousandth) {
  for (const Distribution& d : Distributions(200)) {
    const PatternHistogram histogram = Count(d.values);
    const std::vector<MagnitudeCount> magnitudes = histogram.Magnitudes();
    double least = MeanSquaredError(magnitudes, histogram.AbsMax());
    const Half absmax = ToHalf(histogram.AbsMax());
    for (uint16_t bits = 1; bits <= absmax.bits; ++bits) {
      least = std::min(least, MeanSquaredError(magnitudes, ToFloat(Half{bits})));
    }
    const float clip = ClipByMse(histogram);
    // The grid may miss a needle between its points; that must not cost a thousandth.
    EXPECT_LE(MeanSquaredError(magnitudes, clip), least * 1.001) << d.name;
  }
}

// n rounded values cost n (c / 127)^2 / 12 and one outlier v costs (v - c)^2: least at
// c = v / (1 + n / (12 * 127^2)).
// It takes rounding errors as uniform, which they are nearly: 3 % of the outlier.
TEST(ClipByMse, BalancesOneOutlierAgainstTheRoundingOfTheRest) {
  constexpr double kUniformErrors = 0.03;
  struct Case {
    int rest;
    float outlier;
  };
  for (const Case& c : {Case{200'000, 20.0f}, Case{6000, 570.0f}}) {
    const float clip = ClipByMse(Count(Made(c.rest, 1.0f, 1, 1, c.outlier)));
    const double expected = double{c.outlier} / (1.0 + c.rest / (12 * 127.0 * 127.0));
    EXPECT_NEAR(clip, expected, kUniformErrors * double{c.outlier}) << c.outlier;
  }
}

// The calibrator's pseudo-code with plain arrays: build P, build Q, expand Q, sum p log(p / q).
float BruteForceEntropyClip(const std::vector<Half>& values) {
  constexpr int kBins = 2048;
  constexpr int kLevels = 128;
  double absmax = 0;
  for (const Half v : values) absmax = std::max<double>(absmax, std::fabs(ToFloat(v)));
  std::vector<double> bins(kBins, 0.0);
  for (const Half v : values) {
    const double x = std::fabs(ToFloat(v));
    if (x == 0.0) continue;
    int bin = 0;
    while (bin + 1 < kBins && x > (bin + 1) * (absmax / kBins)) ++bin;
    bins[static_cast<size_t>(bin)] += 1.0;
  }
  double best = 0.0;
  int best_bins = 0;
  for (int count = kBins; count >= kLevels; --count) {
    const auto n = static_cast<size_t>(count);
    std::vector<double> p(bins.begin(), bins.begin() + count);
    for (size_t b = n; b < kBins; ++b) p[n - 1] += bins[b];
    std::vector<double> mass(kLevels, 0.0);
    std::vector<double> occupied(kLevels, 0.0);
    for (size_t b = 0; b < n; ++b) {
      mass[b * kLevels / n] += bins[b];
      occupied[b * kLevels / n] += bins[b] > 0 ? 1.0 : 0.0;
    }
    std::vector<double> q(n, 0.0);
    for (size_t b = 0; b < n; ++b) {
      if (bins[b] > 0) q[b] = mass[b * kLevels / n] / occupied[b * kLevels / n];
    }
    double kept = 0.0;
    for (size_t b = 0; b < n; ++b) kept += bins[b];
    if (kept == 0.0) continue;
    if (q[n - 1] == 0.0) q[n - 1] = 1.0;
    double p_total = 0.0;
    double q_total = 0.0;
    for (size_t b = 0; b < n; ++b) p_total += p[b], q_total += q[b];
    double nats = 0.0;
    for (size_t b = 0; b < n; ++b) {
      if (p[b] > 0) nats += p[b] / p_total * std::log(p[b] / p_total / (q[b] / q_total));
    }
    if (nats < 1e-12) nats = 0.0;
    if (best_bins == 0 || nats < best) {
      best = nats;
      best_bins = count;
    }
  }
  return static_cast<float>(absmax / kBins * best_bins);
}

TEST(ClipByEntropy, IsThatOfThePseudoCodeWrittenOut) {
  for (const Distribution& d : Distributions(6000)) {
    EXPECT_EQ(ClipByEntropy(Count(d.values)), BruteForceEntropyClip(d.values)) << d.name;
  }
}

TEST(ClipByEntropy, DropsAFarOutlierAndKeepsAUniformDistribution) {
  std::vector<Half> values = Made(6000, 1.0f, 1, 1, 570.0f);
  EXPECT_LT(ClipByEntropy(Count(values)), 100.0f);
  for (size_t i = 0; i < values.size(); ++i) values[i] = ToHalf(3.0f * HashUniform(5, i));
  EXPECT_GT(ClipByEntropy(Count(values)), 2.9f);
}

TEST(ClipByEntropy, DoublesWithTheData) {
  std::vector<Half> values = Made(6000, 1.0f, 5, 0, 0.0f);
  const float clip = ClipByEntropy(Count(values));
  for (Half& value : values) value = ToHalf(2.0f * ToFloat(value));
  EXPECT_EQ(ClipByEntropy(Count(values)), 2.0f * clip);
}

TEST(ClipByPercentile, StaysAboveZeroWhereMostValuesAreZero) {
  std::vector<Half> values(100000);
  values[17] = ToHalf(0.5f);
  values[99] = ToHalf(-7.0f);
  EXPECT_EQ(ClipByPercentile(Count(values)), 0.5f);
}

TEST(ClipRules, EveryRuleGivesAClipInsideTheDataAndNoneForZeros) {
  const PatternHistogram zeros = Count(std::vector<Half>(1000));
  for (const ClipRule& rule : ClipRules()) {
    EXPECT_EQ(rule.clip(PatternHistogram()), 0.0f) << rule.name;
    EXPECT_EQ(rule.clip(zeros), 0.0f) << rule.name;
    for (const Distribution& d : Distributions(6000)) {
      const PatternHistogram histogram = Count(d.values);
      const float clip = rule.clip(histogram);
      EXPECT_GT(clip, 0.0f) << rule.name << ", " << d.name;
      EXPECT_LE(clip, histogram.AbsMax()) << rule.name << ", " << d.name;
    }
  }
  EXPECT_EQ(ClipRules().front().name, "abs-max");
}

}  // namespace
}  // namespace w8a8
