#include "eval/run/arm.h"

#include <algorithm>
#include <utility>

namespace w8a8 {

Plan WithWeights(Plan plan, const WeightSettings& weights) {
  for (auto& [site, site_plan] : plan.sites) {
    site_plan = WithWeights(std::move(site_plan), weights);
  }
  return plan;
}

SitePlan WithWeights(SitePlan plan, const WeightSettings& weights) {
  if (!plan.weight) return plan;
  WeightSpec& weight = *plan.weight;
  if (weight.num_bits == WeightSpec().num_bits) {
    weight.num_bits = weights.bits.value_or(weight.num_bits);
  }
  if (weight.convention == WeightConvention::kNative) {
    weight.convention = weights.convention.value_or(weight.convention);
  }
  return plan;
}

AttentionPrecision AttentionOf(const Arm& arm) {
  return arm.precision == Precision::kFp16 ? AttentionPrecision::kFp32 : arm.attention;
}

bool SameAttention(const Arm& first, const Arm& second) {
  const auto emulated = [](const Arm& arm) {
    return arm.attention == AttentionPrecision::kInt8 && arm.precision == Precision::kEmulated;
  };
  return AttentionOf(first) == AttentionOf(second) && emulated(first) == emulated(second);
}

bool SameArithmetic(const Arm& first, const Arm& second) {
  return first.precision == second.precision &&
         (first.precision != Precision::kFake || first.flavour == second.flavour);
}

SitePlan AsRun(const Arm& arm, SitePlan plan) {
  const bool reads_clip = arm.precision == Precision::kFake && arm.flavour != FakeFlavour::kIdeal;
  if (!reads_clip && plan.input && plan.input->is_static()) plan.input->clip_range = kNoClip;
  return plan;
}

bool SameComputation(const Arm& first, const Arm& second) {
  return SameArithmetic(first, second) && SameAttention(first, second) &&
         (first.precision == Precision::kFp16 ||
          std::ranges::equal(
              first.plan.sites, second.plan.sites, [&](const auto& a, const auto& b) {
                return a.first == b.first && AsRun(first, a.second) == AsRun(second, b.second);
              }));
}

}  // namespace w8a8
