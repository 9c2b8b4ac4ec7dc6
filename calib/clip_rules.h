// Clip rules: from the exact distribution of a site's input to the largest magnitude that still
// gets its own code under one static scale.
#pragma once

#include <span>
#include <string_view>

#include "calib/pattern_histogram.h"

namespace w8a8 {

constexpr double kClipPercentile = 99.99;

// Each returns a clip in (0, abs-max], or 0 where every finite value is 0 (or there is none): such
// a site cannot have a static scale.

float ClipByAbsMax(const PatternHistogram& histogram);

// The nearest-rank percentile of |x|. More than `percent` % zeros would give 0; then the smallest
// magnitude above 0 is taken.
float ClipByPercentile(const PatternHistogram& histogram, double percent = kClipPercentile);

// The clip of least mean squared error among the FP16 values: first abs-max * 0.97^j for j = 0 to
// 160 (down to 0.8 % of abs-max, each rounded to FP16), then every FP16 value between the best
// one's neighbours. Of equal errors the larger clip wins. The error is exact for every candidate;
// only a minimum narrower than 3 % and away from the best grid point could be missed.
float ClipByMse(const PatternHistogram& histogram);

// The clip of least information loss, after TensorRT's entropy calibrator (S. Migacz, GTC 2017):
// |x| > 0 in 2,048 bins of equal width up to abs-max; for each i from 128 to 2,048 the reference P
// is the first i bins with everything beyond them added to the last, and Q is the first i bins
// alone, merged into 128 levels, each level's mass spread evenly over its bins that are not empty.
// The clip is the upper edge of the bin with the least KL(P || Q); of equal ones, the largest.
// Chosen here where descriptions differ: zeros are left out (they cost nothing at any scale), bin b
// belongs to level floor(128 * b / i), and a last bin that holds only outliers counts as one value
// in Q, so that the divergence is finite.
float ClipByEntropy(const PatternHistogram& histogram);

struct ClipRule {
  std::string_view name;  // as reports and messages spell it
  float (*clip)(const PatternHistogram& histogram);
};

// All rules, abs-max first: where two are equally good, the earlier one is chosen.
std::span<const ClipRule> ClipRules();

}  // namespace w8a8
