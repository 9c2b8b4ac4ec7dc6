// From statistics to a plan.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "calib/scheme.h"
#include "calib/site_statistics.h"
#include "quant/spec.h"

namespace w8a8 {

// The default plan: every site per-token with clip range R.
Plan PerTokenPlan(std::span<const std::string> sites, float clip_range = kNoClip);

// How one clip rule did at one site.
struct RuleResult {
  std::string rule;    // a ClipRule's name
  float clip = 0.0f;   // > 0
  double error = 0.0;  // what TeacherForcedError gave for it
};

// What a plan decided for one site, and what the report should say about it.
struct SiteChoice {
  std::string site;
  bool stays_fp16 = false;  // the calibrated abs-max is 0: no static scale exists
  float absmax = 0.0f;
  NonFiniteCounts nonfinite;  // seen while calibrating; anything but 0 is to be reported
  std::string rule;           // the chosen one; empty where stays_fp16
  float clip = 0.0f;  // largest magnitude that keeps its code: 127 * scale, but for rounding
  double error = 0.0;
  std::vector<RuleResult> candidates;  // every rule, in the order of ClipRules()
};

struct TensorPlan {
  Plan plan;
  std::vector<SiteChoice> choices;         // static inputs, in the order of `sites`
  std::vector<SiteChoice> output_choices;  // outputs; where one stays FP16 the site does not
};

using SiteStatisticsMap = std::map<std::string, SiteStatistics>;

// The one static quantizer of values whose magnitudes are worth codes up to `clip` (> 0). They hold
// a finite value other than 0.
// Symmetric: scale = clip / 127, and the clip range says `clip` where that is below abs-max.
Quantizer StaticInput(const PatternHistogram& values, float clip);
// With a zero point: low = min(0, smallest) and high = max(0, largest) of the finite values, both
// cut to +-clip; scale = (high - low) / 255, zero point = rne(-128 - low / scale) clamped to [-128,
// 127], all in binary32. That is compressed-tensors' calculate_qparams (quantization/utils/
// helpers.py, 0.18) and numerics.md's asymmetric per-token rule on the range of all rows. No clip
// range: scale and zero point say it.
Quantizer StaticAsymmetricInput(const PatternHistogram& values, float clip);
// scale = clip / 127, or the next smaller float where 127 * scale would pass FP16's 65,504.
Quantizer StaticOutput(float clip);

// Every site by the scheme, static scales by abs-max: of inputs min(abs-max, R), of outputs
// abs-max. A site whose static input would have abs-max 0 stays FP16, an output of abs-max 0 does
// at its site. Every site must be in `statistics` where the scheme needs any, and with its outputs
// where it needs them; `clip_range` is about INT8 inputs, infinite where the scheme has none.
TensorPlan PlanOfScheme(const Scheme& scheme, std::span<const std::string> sites,
                        const SiteStatisticsMap& statistics, float clip_range = kNoClip);

// Per-tensor by abs-max: scale = min(abs-max, R) / 127. Every site must be in `statistics`.
TensorPlan PerTensorPlan(std::span<const std::string> sites, const SiteStatisticsMap& statistics,
                         float clip_range = kNoClip);

// The error of the site's linear layer under this plan on reference inputs (the site's row sample,
// say): any measure of which less is better, finite, the same for every call of one site.
using TeacherForcedError = std::function<double(const std::string& site, const SitePlan& plan)>;

// The same error, found once for each plan of a site: schemes that share their inputs search the
// clips of those once.
TeacherForcedError Remembered(TeacherForcedError error);

// Every site by the scheme, static scales by the clip rule of least error at each site; of equal
// errors the earlier rule. The input's scale is found first, with FP16 outputs, then the output's
// beside it. All calls of `error` for one site follow each other, in the order of `sites`, one for
// each distinct clip. Throws Error naming the site if an error is not finite.
TensorPlan BestPlanOfScheme(const Scheme& scheme, std::span<const std::string> sites,
                            const SiteStatisticsMap& statistics, const TeacherForcedError& error);

}  // namespace w8a8
