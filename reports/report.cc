#include "reports/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace w8a8 {

std::vector<SweepCurve> SweepCurves(const Report& report) {
  const auto place = [&](ArmRef arm) { return report[arm].clip_range.value_or(HUGE_VAL); };
  std::vector<SweepCurve> curves;
  for (const Precision precision : {Precision::kInt8, Precision::kFake}) {
    for (const InputScaling granularity : {InputScaling::kPerToken, InputScaling::kPerTensor}) {
      SweepCurve curve{.precision = precision, .granularity = granularity, .arms = {}};
      for (size_t i = 0; i < report.arms.size(); ++i) {
        const ArmReport& arm = report.arms[i];
        if (arm.precision == precision && arm.granularity == granularity) curve.arms.push_back({i});
      }
      std::stable_sort(curve.arms.begin(), curve.arms.end(),
                       [&](ArmRef a, ArmRef b) { return place(a) < place(b); });
      if (!curve.arms.empty()) curves.push_back(std::move(curve));
    }
  }
  return curves;
}

std::string MainOutput(const Report& report) {
  for (const char* output : {"logits", "image_embeds", "pooled", "tokens"}) {
    for (const ArmReport& arm : report.arms) {
      if (arm.outputs.contains(output)) return output;
    }
  }
  return "";
}

const OutputErrors* ErrorsOf(const ArmReport& arm, const std::string& output) {
  const auto at = arm.outputs.find(output);
  return at == arm.outputs.end() ? nullptr : &at->second;
}

bool IsSweepPoint(const ArmReport& arm) {
  return arm.granularity && arm.granularity != InputScaling::kPlan;
}

bool IsSchemePoint(const ArmReport& arm) {
  return !arm.scheme.empty() && arm.name == fmt::format("{}/{}", NameOf(arm.precision), arm.scheme);
}

std::optional<ArmRef> ChosenArm(const Report& report, Precision precision) {
  for (size_t i = 0; i < report.arms.size(); ++i) {
    if (report.arms[i].chosen && report.arms[i].precision == precision) return ArmRef{i};
  }
  return std::nullopt;
}

std::optional<ArmRef> PartArm(const Report& report, PlanPart part) {
  for (size_t i = 0; i < report.arms.size(); ++i) {
    if (report.arms[i].part == part) return ArmRef{i};
  }
  return std::nullopt;
}

std::string_view CulpritOf(const SiteReport& site) {
  if (!site.weight_share) return "";
  return *site.weight_share < 0.5 ? "activations" : "weights";
}

std::vector<size_t> WorstSites(const Report& report, ArmRef arm, View view, size_t count) {
  std::vector<size_t> worst;
  for (size_t i = 0; i < report.sites.size(); ++i) {
    const SiteReport& site = report.sites[i];
    if (site.arm == arm && site.view == view && std::isfinite(site.sqnr_db)) worst.push_back(i);
  }
  std::stable_sort(worst.begin(), worst.end(), [&](size_t a, size_t b) {
    return report.sites[a].sqnr_db < report.sites[b].sqnr_db;
  });
  worst.resize(std::min(worst.size(), count));
  return worst;
}

}  // namespace w8a8
