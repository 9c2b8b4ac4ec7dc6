#include "eval/run/stored_plan.h"

#include <optional>
#include <utility>

namespace w8a8 {

Plan StoredPlan(const EncoderWeights& weights, const Graph& graph) {
  Plan plan;
  if (!weights.quantized()) return plan;
  for (const std::string& site : graph.Sites()) {
    if (std::optional<SitePlan> stored = weights.StoredSite(site)) {
      plan.sites[site] = *std::move(stored);
    }
  }
  return plan;
}

Plan WithStoredWeights(Plan plan, const Plan& stored) {
  for (auto& [site, site_plan] : plan.sites) {
    site_plan = WithStoredWeights(std::move(site_plan), site, stored);
  }
  return plan;
}

SitePlan WithStoredWeights(SitePlan plan, const std::string& site, const Plan& stored) {
  const auto codes = stored.sites.find(site);
  if (codes == stored.sites.end() || plan.given.value || plan.weight != WeightSpec()) return plan;
  plan.weight = codes->second.weight;
  return plan;
}

}  // namespace w8a8
