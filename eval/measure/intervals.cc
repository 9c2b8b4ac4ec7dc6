#include "eval/measure/intervals.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"

namespace w8a8 {

Estimate WilsonInterval(double successes, uint64_t trials) {
  const auto n = static_cast<double>(trials);
  W8A8_CHECK(successes >= 0 && successes <= n);
  if (trials == 0) return {};
  constexpr double kZ = 1.959963984540054;  // the normal quantile of 0.975
  const double share = successes / n;
  const double shrink = 1 + kZ * kZ / n;
  const double centre = (share + kZ * kZ / (2 * n)) / shrink;
  const double half = kZ / shrink * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  // At 0 and n successes the outer bound is exact and must not be 1e-17 beside it.
  return {.value = share,
          .low = successes == 0 ? 0.0 : std::max(0.0, centre - half),
          .high = successes == n ? 1.0 : std::min(1.0, centre + half)};
}

void ForEachResample(size_t images, uint64_t seed,
                     const std::function<void(std::span<const uint32_t> draws)>& body) {
  W8A8_CHECK(images >= 1 && images <= UINT32_MAX);
  std::vector<uint32_t> draws(images);
  uint64_t counter = 0;
  for (int resample = 0; resample < kBootstrapResamples; ++resample) {
    for (uint32_t& draw : draws) {
      // The upper 32 bits of the hash as a fraction; the bias is below images / 2^32.
      draw = static_cast<uint32_t>(((CounterHash(seed, counter++) >> 32) * images) >> 32);
    }
    body(draws);
  }
}

double PercentileOfSorted(std::span<const double> sorted, double fraction) {
  W8A8_CHECK(!sorted.empty() && fraction >= 0 && fraction <= 1);
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const double weight = position - static_cast<double>(below);
  if (weight == 0 || sorted[below] == sorted[below + 1]) return sorted[below];
  return sorted[below] + weight * (sorted[below + 1] - sorted[below]);
}

Estimate PercentileInterval(double value, std::vector<double> resampled) {
  std::erase_if(resampled, [](double v) { return std::isnan(v); });
  if (resampled.empty()) return {.value = value};
  std::sort(resampled.begin(), resampled.end());
  return {.value = value,
          .low = PercentileOfSorted(resampled, 0.025),
          .high = PercentileOfSorted(resampled, 0.975)};
}

}  // namespace w8a8
