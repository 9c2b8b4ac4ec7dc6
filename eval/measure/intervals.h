// 95 % intervals: Wilson's for proportions, the bootstrap over images for everything else.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "reports/estimate.h"

namespace w8a8 {

constexpr int kBootstrapResamples = 2000;

// successes / trials and Wilson's score interval (Wilson 1927, z = 1.959964). No trials: undefined.
// A trial that was repeated counts once, with the mean of its outcomes, a fraction: repeats narrow
// nothing and move nothing. 0 <= successes <= trials.
Estimate WilsonInterval(double successes, uint64_t trials);

// Calls body(draws) kBootstrapResamples times; draws holds `images` indices in [0, images), drawn
// with replacement. The draws depend on `images` and `seed` only, so that two arms measured on the
// same images are resampled alike. images >= 1.
void ForEachResample(size_t images, uint64_t seed,
                     const std::function<void(std::span<const uint32_t> draws)>& body);

// The 2.5th and 97.5th percentile of the resampled values around `value`. NaN values are left out;
// infinite ones count as the largest or smallest.
Estimate PercentileInterval(double value, std::vector<double> resampled);

// Of values sorted ascending, at fraction 0 <= f <= 1, linear between neighbours (numpy's default).
// Between a finite value and infinity: infinity.
double PercentileOfSorted(std::span<const double> sorted, double fraction);

}  // namespace w8a8
