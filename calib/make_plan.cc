#include "calib/make_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

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

const PatternHistogram& OutputsOf(const SiteStatistics& statistics, const std::string& site) {
  if (statistics.outputs) return *statistics.outputs;
  Fail(
      "site '{}': the statistics hold no outputs, which its static output scale comes from. "
      "Calibrate again, with outputs.",
      site);
}

SiteChoice StartChoice(const std::string& site, const PatternHistogram& values) {
  SiteChoice choice;
  choice.site = site;
  choice.absmax = values.AbsMax();
  choice.nonfinite = values.NonFinite();
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

// How the values of one histogram are quantized under a clip.
using QuantizerOfClip = std::function<Quantizer(float clip)>;

// Sets *quantizer, which is part of `plan`, to that of the rule of least error.
void TakeBestRule(const PatternHistogram& values, const QuantizerOfClip& quantizer_of,
                  const TeacherForcedError& error, const SitePlan& plan,
                  std::optional<Quantizer>* quantizer, SiteChoice* choice) {
  for (const ClipRule& rule : ClipRules()) {
    const float clip = rule.clip(values);
    *quantizer = quantizer_of(clip);
    const double rule_error = ErrorOf(choice->site, plan, clip, choice->candidates, error);
    choice->candidates.push_back({std::string(rule.name), clip, rule_error});
  }
  const auto best = std::min_element(
      choice->candidates.begin(), choice->candidates.end(),
      [](const RuleResult& left, const RuleResult& right) { return left.error < right.error; });
  choice->rule = best->rule;
  choice->clip = best->clip;
  choice->error = best->error;
  *quantizer = quantizer_of(best->clip);
}

// Makes the plan of one site after the other. A choice is made by `take`: of the values, the
// quantizer of a clip, the site's plan and the part of it that is to be set.
template <class Take>
TensorPlan MakePlan(const Scheme& scheme, std::span<const std::string> sites,
                    const SiteStatisticsMap& statistics, const SitePlan& as_planned,
                    const Take& take) {
  TensorPlan result;
  for (const std::string& site : sites) {
    SitePlan plan = as_planned;
    if (scheme.NeedsInputStatistics()) {
      const PatternHistogram& values = StatisticsOf(statistics, site).histogram;
      const auto quantizer_of = [&](float clip) {
        return scheme.symmetric ? StaticInput(values, clip) : StaticAsymmetricInput(values, clip);
      };
      SiteChoice& choice = result.choices.emplace_back(StartChoice(site, values));
      if (choice.stays_fp16) continue;
      plan.output.reset();
      take(values, quantizer_of, plan, &plan.input, &choice);
    }
    if (scheme.NeedsOutputStatistics()) {
      const PatternHistogram& values = OutputsOf(StatisticsOf(statistics, site), site);
      SiteChoice& choice = result.output_choices.emplace_back(StartChoice(site, values));
      plan.output.reset();
      if (!choice.stays_fp16) take(values, &StaticOutput, plan, &plan.output, &choice);
    }
    result.plan.sites[site] = std::move(plan);
  }
  return result;
}

}  // namespace

Plan PerTokenPlan(std::span<const std::string> sites, float clip_range) {
  Plan plan;
  for (const std::string& site : sites) plan.sites[site].input->clip_range = clip_range;
  return plan;
}

Quantizer StaticInput(const PatternHistogram& values, float clip) {
  return Quantizer::Static(clip / 127.0f, clip < values.AbsMax() ? clip : kNoClip);
}

Quantizer StaticAsymmetricInput(const PatternHistogram& values, float clip) {
  const FiniteRange range = values.Range();
  const float low = std::max(range.low, -clip), high = std::min(range.high, clip);
  W8A8_CHECK(low < high);
  Quantizer quantizer = Quantizer::Static((high - low) / 255.0f);
  quantizer.symmetric = false;
  const float zero_point = RoundToEven(-128.0f - low / quantizer.scale);
  quantizer.zero_point = static_cast<int32_t>(Clamp(zero_point, -128.0f, 127.0f));
  return quantizer;
}

Quantizer StaticOutput(float clip) {
  W8A8_CHECK(clip > 0.0f && clip <= kMaxHalf);
  float scale = clip / 127.0f;
  if (127.0f * scale > kMaxHalf) scale = std::nextafter(scale, 0.0f);
  return Quantizer::Static(scale);
}

TensorPlan PlanOfScheme(const Scheme& scheme, std::span<const std::string> sites,
                        const SiteStatisticsMap& statistics, float clip_range) {
  W8A8_CHECK(clip_range > 0.0f && (scheme.input || clip_range == kNoClip));
  SitePlan as_planned = SitePlanOf(scheme);
  if (scheme.input) as_planned.input->clip_range = clip_range;
  const auto by_absmax = [&](const PatternHistogram&, const QuantizerOfClip& quantizer_of,
                             const SitePlan& plan, std::optional<Quantizer>* quantizer,
                             SiteChoice* choice) {
    const bool is_input = quantizer == &plan.input;
    choice->rule = ClipRules().front().name;
    choice->clip = is_input ? std::min(choice->absmax, clip_range) : choice->absmax;
    *quantizer = quantizer_of(choice->clip);
    if (is_input && scheme.symmetric) (*quantizer)->clip_range = clip_range;
  };
  return MakePlan(scheme, sites, statistics, as_planned, by_absmax);
}

TensorPlan PerTensorPlan(std::span<const std::string> sites, const SiteStatisticsMap& statistics,
                         float clip_range) {
  return PlanOfScheme({.input = Granularity::kTensor}, sites, statistics, clip_range);
}

TeacherForcedError Remembered(TeacherForcedError error) {
  std::map<std::string, std::vector<std::pair<SitePlan, double>>> known;
  return [error = std::move(error), known = std::move(known)](const std::string& site,
                                                              const SitePlan& plan) mutable {
    auto& of_site = known[site];
    for (const auto& [same, value] : of_site) {
      if (same == plan) return value;
    }
    return of_site.emplace_back(plan, error(site, plan)).second;
  };
}

TensorPlan BestPlanOfScheme(const Scheme& scheme, std::span<const std::string> sites,
                            const SiteStatisticsMap& statistics, const TeacherForcedError& error) {
  const auto by_error = [&](const PatternHistogram& values, const QuantizerOfClip& quantizer_of,
                            const SitePlan& plan, std::optional<Quantizer>* quantizer,
                            SiteChoice* choice) {
    TakeBestRule(values, quantizer_of, error, plan, quantizer, choice);
  };
  return MakePlan(scheme, sites, statistics, SitePlanOf(scheme), by_error);
}

}  // namespace w8a8
