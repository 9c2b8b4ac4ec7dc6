// From statistics to a plan.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

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
  bool stays_fp16 = false;  // its calibrated abs-max is 0: no static scale exists
  float absmax = 0.0f;
  NonFiniteCounts nonfinite;  // seen while calibrating; anything but 0 is to be reported
  std::string rule;           // the chosen one; empty where stays_fp16
  float clip = 0.0f;          // = 127 * scale, but for rounding
  double error = 0.0;
  std::vector<RuleResult> candidates;  // every rule, in the order of ClipRules()
};

struct TensorPlan {
  Plan plan;
  std::vector<SiteChoice> choices;  // in the order of `sites`
};

using SiteStatisticsMap = std::map<std::string, SiteStatistics>;

// Per-tensor by abs-max: scale = min(abs-max, R) / 127. Every site must be in `statistics`.
TensorPlan PerTensorPlan(std::span<const std::string> sites, const SiteStatisticsMap& statistics,
                         float clip_range = kNoClip);

// The error of the site's linear layer under this plan on reference inputs (the site's row sample,
// say): any measure of which less is better, finite, the same for every call of one site.
using TeacherForcedError = std::function<double(const std::string& site, const SitePlan& plan)>;

// Per-tensor by the clip rule of least error at each site; of equal errors the earlier rule. All
// calls of `error` for one site follow each other, in the order of `sites`, one for each distinct
// clip. Throws Error naming the site if an error is not finite.
TensorPlan BestPerTensorPlan(std::span<const std::string> sites,
                             const SiteStatisticsMap& statistics, const TeacherForcedError& error);

}  // namespace w8a8
