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

Plan WithStoredWeights(Plan plan, const EncoderWeights& weights) {
  if (!weights.quantized()) return plan;
  for (auto& [site, site_plan] : plan.sites) {
    if (site_plan.weight != WeightSpec() || site_plan.given.value) continue;
    if (const std::optional<SitePlan> stored = weights.StoredSite(site)) {
      site_plan.weight = stored->weight;
    }
  }
  return plan;
}

}  // namespace w8a8
