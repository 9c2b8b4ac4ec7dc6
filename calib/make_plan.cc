#include "calib/make_plan.h"

#include <algorithm>
#include <cmath>

#include "calib/clip_rules.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

const SiteStatistics& StatisticsOf(const SiteStatisticsMap& statistics, const std::string& site) {
  const auto at = statistics.find(site);
  if (at == statistics.end()) {
    Fail(
        "site '{}': the statistics do not hold it. They come from another model or an older build; "
        "calibrate again.",
        site);
  }
  return at->second;
}

// A clip at or beyond abs-max clips nothing, and says so.
SitePlan StaticInput(float clip, float absmax) {
  return {.input = Quantizer::Static(clip / 127.0f, clip < absmax ? clip : kNoClip)};
}

SiteChoice StartChoice(const std::string& site, const SiteStatistics& statistics) {
  SiteChoice choice;
  choice.site = site;
  choice.absmax = statistics.AbsMax();
  choice.nonfinite = statistics.histogram.NonFinite();
  choice.stays_fp16 = choice.absmax == 0.0f;
  return choice;
}

// The error under `plan`, taken from an earlier rule that gave the same clip where there is one.
double ErrorOf(const std::string& site, const SitePlan& plan, float clip,
               std::span<const RuleResult> earlier, const TeacherForcedError& error) {
  const auto same = std::find_if(earlier.begin(), earlier.end(),
                                 [clip](const RuleResult& result) { return result.clip == clip; });
  if (same != earlier.end()) return same->error;
  const double value = error(site, plan);
  if (!std::isfinite(value)) {
    FailWith(
        {Setting::kResidual, "fp32"},
        "site '{}': the error at clip {} is not finite, so the sampled rows or weights overflow in "
        "FP16. Statistics from a file are then to be taken again, in the same way.",
        site, clip);
  }
  return value;
}

}  // namespace

Plan PerTokenPlan(std::span<const std::string> sites, float clip_range) {
  Plan plan;
  for (const std::string& site : sites) plan.sites[site].input->clip_range = clip_range;
  return plan;
}

TensorPlan PerTensorPlan(std::span<const std::string> sites, const SiteStatisticsMap& statistics,
                         float clip_range) {
  W8A8_CHECK(clip_range > 0.0f);
  TensorPlan result;
  for (const std::string& site : sites) {
    SiteChoice choice = StartChoice(site, StatisticsOf(statistics, site));
    if (!choice.stays_fp16) {
      choice.rule = ClipRules().front().name;
      choice.clip = std::min(choice.absmax, clip_range);
      result.plan.sites[site].input = Quantizer::Static(choice.clip / 127.0f, clip_range);
    }
    result.choices.push_back(std::move(choice));
  }
  return result;
}

TensorPlan BestPerTensorPlan(std::span<const std::string> sites,
                             const SiteStatisticsMap& statistics, const TeacherForcedError& error) {
  TensorPlan result;
  for (const std::string& site : sites) {
    const SiteStatistics& site_statistics = StatisticsOf(statistics, site);
    SiteChoice choice = StartChoice(site, site_statistics);
    if (!choice.stays_fp16) {
      for (const ClipRule& rule : ClipRules()) {
        const float clip = rule.clip(site_statistics.histogram);
        const SitePlan plan = StaticInput(clip, choice.absmax);
        const double rule_error = ErrorOf(site, plan, clip, choice.candidates, error);
        choice.candidates.push_back({std::string(rule.name), clip, rule_error});
      }
      const auto best = std::min_element(
          choice.candidates.begin(), choice.candidates.end(),
          [](const RuleResult& left, const RuleResult& right) { return left.error < right.error; });
      choice.rule = best->rule;
      choice.clip = best->clip;
      choice.error = best->error;
      result.plan.sites[site] = StaticInput(best->clip, choice.absmax);
    }
    result.choices.push_back(std::move(choice));
  }
  return result;
}

}  // namespace w8a8
