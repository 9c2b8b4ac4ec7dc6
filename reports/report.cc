#include "reports/report.h"

#include <algorithm>
#include <cmath>

namespace w8a8 {

std::vector<SweepCurve> SweepCurves(const Report& report) {
  const auto place = [&](size_t arm) { return report.arms[arm].clip_range.value_or(HUGE_VAL); };
  std::vector<SweepCurve> curves;
  for (const char* precision : {"int8", "fake"}) {
    for (const char* granularity : {"per-token", "per-tensor"}) {
      SweepCurve curve{.precision = precision, .granularity = granularity, .arms = {}};
      for (size_t i = 0; i < report.arms.size(); ++i) {
        const ArmReport& arm = report.arms[i];
        if (arm.precision == precision && arm.granularity == granularity) curve.arms.push_back(i);
      }
      std::stable_sort(curve.arms.begin(), curve.arms.end(),
                       [&](size_t a, size_t b) { return place(a) < place(b); });
      if (!curve.arms.empty()) curves.push_back(std::move(curve));
    }
  }
  return curves;
}

std::string MainOutput(const Report& report) {
  for (const char* output : {"logits", "pooled", "tokens"}) {
    for (const ArmReport& arm : report.arms) {
      if (arm.outputs.contains(output)) return output;
    }
  }
  return "";
}

SiteOrder OrderOfSites(const Report& report) {
  SiteOrder order;
  for (size_t i = 0; i < report.sites.size(); ++i) {
    const bool is_new = order.place.try_emplace(report.sites[i].site, order.rows.size()).second;
    if (is_new) order.rows.push_back(i);
  }
  return order;
}

const ArmReport* ChosenArm(const Report& report, const std::string& precision) {
  for (const ArmReport& arm : report.arms) {
    if (arm.chosen && arm.precision == precision) return &arm;
  }
  return nullptr;
}

std::vector<size_t> WorstSites(const Report& report, const std::string& arm,
                               const std::string& view, size_t count) {
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
