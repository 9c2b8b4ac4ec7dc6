#include "calib/clip_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <vector>

namespace w8a8 {
namespace {

constexpr int kGridPoints = 161;
constexpr double kGridRatio = 0.97;
constexpr int kBins = 2048;
constexpr int kLevels = 128;

struct Candidate {
  float clip = 0.0f;
  double loss = 0.0;
};

void KeepBetter(Candidate candidate, Candidate* best) {
  const bool better =
      candidate.loss < best->loss || (candidate.loss == best->loss && candidate.clip > best->clip);
  if (best->clip == 0.0f || better) *best = candidate;
}

// Prefix sums over the bins of |x| > 0: [i] is about the bins before bin i.
struct BinSums {
  std::array<uint64_t, kBins + 1> mass{};           // values
  std::array<uint64_t, kBins + 1> occupied{};       // bins that are not empty
  std::array<double, kBins + 1> count_log_count{};  // sum of c log c
};

BinSums SumBins(std::span<const MagnitudeCount> magnitudes, double bin_width) {
  std::array<uint64_t, kBins> bins{};
  for (const MagnitudeCount& m : magnitudes) {
    if (m.magnitude == 0.0f) continue;
    // Bin b holds (b, b + 1] widths, so that a clip at its upper edge keeps all of it.
    const double position = std::ceil(static_cast<double>(m.magnitude) / bin_width) - 1.0;
    bins[static_cast<size_t>(std::clamp(position, 0.0, kBins - 1.0))] += m.count;
  }
  BinSums sums;
  for (size_t b = 0; b < kBins; ++b) {
    const double count = static_cast<double>(bins[b]);
    sums.mass[b + 1] = sums.mass[b] + bins[b];
    sums.occupied[b + 1] = sums.occupied[b] + (bins[b] > 0 ? 1 : 0);
    sums.count_log_count[b + 1] =
        sums.count_log_count[b] + (bins[b] > 0 ? count * std::log(count) : 0.0);
  }
  return sums;
}

// KL(P || Q) in nats for the first `bins` bins, see the header. Q is constant within a level (its
// last bin aside), so with counts c and totals N of P and M of Q:
// KL = sum P log(c_P / N) - sum_levels P_level log(q_level / M).
double Divergence(const BinSums& sums, int bins) {
  const auto last = static_cast<size_t>(bins - 1);
  const auto total = static_cast<double>(sums.mass[kBins]);
  const auto kept = static_cast<double>(sums.mass[last + 1]);
  const bool last_empty = sums.mass[last + 1] == sums.mass[last];
  const auto last_in_p = static_cast<double>(sums.mass[kBins] - sums.mass[last]);
  const double outliers = total - kept;
  const double q_total = kept + (last_empty ? 1.0 : 0.0);

  double cross = 0.0;  // sum of c_P log q
  size_t begin = 0;
  for (int level = 0; level < kLevels; ++level) {
    // The first bin b with floor(128 * b / bins) > level.
    const auto end = static_cast<size_t>((int64_t{level + 1} * bins + kLevels - 1) / kLevels);
    const auto mass = static_cast<double>(sums.mass[end] - sums.mass[begin]);
    const auto occupied = static_cast<double>(sums.occupied[end] - sums.occupied[begin]);
    if (mass > 0.0) cross += mass * std::log(mass / occupied);
    if (level == kLevels - 1 && !last_empty) cross += outliers * std::log(mass / occupied);
    begin = end;
  }
  // log q of a last bin that counts as one value is 0: nothing to add to `cross`.
  const double p_log_p =
      sums.count_log_count[last] + (last_in_p > 0.0 ? last_in_p * std::log(last_in_p) : 0.0);
  const double nats = (p_log_p - cross) / total - std::log(total) + std::log(q_total);
  // Logarithms of up to 2^40 values leave about 1e-14; without this, noise would choose.
  return nats < 1e-12 ? 0.0 : nats;
}

float ClipByDefaultPercentile(const PatternHistogram& histogram) {
  return ClipByPercentile(histogram);
}

constexpr ClipRule kRules[] = {
    {"abs-max", &ClipByAbsMax},
    {"percentile-99.99", &ClipByDefaultPercentile},
    {"mse", &ClipByMse},
    {"entropy", &ClipByEntropy},
};

}  // namespace

float ClipByAbsMax(const PatternHistogram& histogram) { return histogram.AbsMax(); }

float ClipByPercentile(const PatternHistogram& histogram, double percent) {
  const float clip = histogram.AbsPercentile(percent);
  if (clip > 0.0f) return clip;
  for (const MagnitudeCount& m : histogram.Magnitudes()) {
    if (m.magnitude > 0.0f) return m.magnitude;
  }
  return 0.0f;
}

float ClipByMse(const PatternHistogram& histogram) {
  const float abs_max = histogram.AbsMax();
  if (abs_max == 0.0f) return 0.0f;
  const std::vector<MagnitudeCount> magnitudes = histogram.Magnitudes();
  Candidate best;
  const auto consider = [&](Half clip) {
    KeepBetter({ToFloat(clip), MeanSquaredError(magnitudes, ToFloat(clip))}, &best);
  };
  // Descending patterns; below 2^-19 neighbours of the grid fall on the same subnormal.
  std::vector<uint16_t> grid;
  double clip = static_cast<double>(abs_max);
  for (int j = 0; j < kGridPoints; ++j, clip *= kGridRatio) {
    const Half rounded = ToHalf(static_cast<float>(clip));
    if (rounded.bits > 0 && (grid.empty() || rounded.bits < grid.back())) {
      grid.push_back(rounded.bits);
    }
  }
  for (const uint16_t bits : grid) consider(Half{bits});

  const auto at = std::find(grid.begin(), grid.end(), ToHalf(best.clip).bits);
  const uint16_t high = at == grid.begin() ? *at : *std::prev(at);
  const uint16_t low = std::next(at) == grid.end() ? *at : *std::next(at);
  for (uint16_t bits = high; bits >= low; --bits) consider(Half{bits});
  return best.clip;
}

float ClipByEntropy(const PatternHistogram& histogram) {
  const float abs_max = histogram.AbsMax();
  if (abs_max == 0.0f) return 0.0f;
  const double bin_width = static_cast<double>(abs_max) / kBins;
  const BinSums sums = SumBins(histogram.Magnitudes(), bin_width);
  Candidate best;
  for (int bins = kBins; bins >= kLevels; --bins) {
    // Without a single value below the edge there is no distribution to compare with.
    if (sums.mass[static_cast<size_t>(bins)] == 0) break;
    KeepBetter({static_cast<float>(bin_width * bins), Divergence(sums, bins)}, &best);
  }
  return best.clip;
}

std::span<const ClipRule> ClipRules() { return kRules; }

}  // namespace w8a8
