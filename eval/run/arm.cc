#include "eval/run/arm.h"

#include <utility>

namespace w8a8 {

Plan WithWeights(Plan plan, const WeightSettings& weights) {
  if (weights.bits) plan = WithWeightBits(std::move(plan), *weights.bits);
  if (!weights.convention) return plan;
  for (auto& [site, site_plan] : plan.sites) {
    if (!site_plan.weight || site_plan.weight->convention != WeightConvention::kNative) continue;
    site_plan.weight->convention = *weights.convention;
  }
  return plan;
}

bool SameArithmetic(const Arm& first, const Arm& second) {
  return first.precision == second.precision &&
         (first.precision != Precision::kFake || first.flavour == second.flavour);
}

bool SameComputation(const Arm& first, const Arm& second) {
  return SameArithmetic(first, second) &&
         (first.precision == Precision::kFp16 || first.plan == second.plan);
}

}  // namespace w8a8
