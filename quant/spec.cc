#include "quant/spec.h"

#include <algorithm>

#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

bool Multiples(int64_t a, int64_t b) { return a % b == 0 || b % a == 0; }

void CheckWeightOf(const std::string& site, const SitePlan& plan, int64_t k) {
  const WeightSpec& weight = *plan.weight;
  CheckWeightSpec(site, weight);
  const bool zero_points = !weight.symmetric || (plan.input && !plan.input->symmetric);
  if (plan.input && zero_points && k > kMaxInputsWithZeroPoints) {
    Fail(
        "{}: K = {} inputs with zero points; beyond {} the INT32 sums could overflow. Leave this "
        "layer in FP16, or quantize it symmetrically.",
        site, k, kMaxInputsWithZeroPoints);
  }
  if (weight.convention != WeightConvention::kNative &&
      (!plan.smoothing.empty() || plan.rotation || plan.given.value)) {
    Fail(
        "{}: the weight convention {} is for the checkpoint's own float weights, without "
        "smoothing, "
        "rotation or given codes.",
        site, NameOf(weight.convention));
  }
}

void CheckFirstRowTwice(const std::string& site, const SitePlan& plan) {
  const bool fits = plan.input && plan.input->symmetric &&
                    plan.input->granularity != Granularity::kGroup && plan.weight->symmetric &&
                    plan.weight->granularity != Granularity::kGroup;
  if (fits) return;
  Fail(
      "{}: the first row is coded twice only where inputs and weights are symmetric codes without "
      "groups.",
      site);
}

}  // namespace

void CheckSitePlan(const std::string& site, const SitePlan& plan, int64_t k) {
  CheckSmoothing(plan.smoothing, k, site);
  if (plan.rotation) CheckRotation(*plan.rotation, k, site);
  if (plan.output) CheckOutputQuantizer(*plan.output, site);
  if (!plan.weight) {
    if (!plan.input && !plan.first_row_twice && plan.smoothing.empty() && !plan.rotation) return;
    Fail("{}: FP16 weights go with an FP16 input, without smoothing or rotation.", site);
  }
  if (plan.input) CheckQuantizer(*plan.input, site);
  CheckWeightOf(site, plan, k);
  const SitePlan as_run = Normalized(plan, k);
  if (plan.first_row_twice) CheckFirstRowTwice(site, as_run);
  const bool both = as_run.input && as_run.input->granularity == Granularity::kGroup &&
                    as_run.weight->granularity == Granularity::kGroup;
  if (both && !Multiples(as_run.input->group_size, as_run.weight->group_size)) {
    Fail("{}: groups of {} inputs and {} weights; one must be a multiple of the other.", site,
         as_run.input->group_size, as_run.weight->group_size);
  }
}

SitePlan Normalized(SitePlan plan, int64_t k) {
  std::optional<Quantizer>& input = plan.input;
  if (input && input->granularity == Granularity::kGroup && input->group_size >= k) {
    input->granularity = Granularity::kToken;
  }
  if (input && input->granularity != Granularity::kGroup) input->group_size = 0;
  std::optional<WeightSpec>& weight = plan.weight;
  if (weight && weight->granularity == Granularity::kGroup && weight->group_size >= k) {
    weight->granularity = Granularity::kChannel;
  }
  if (weight && weight->granularity != Granularity::kGroup) weight->group_size = 0;
  return plan;
}

int64_t ProductGroup(const SitePlan& plan, int64_t k) {
  int64_t group = k;
  if (plan.input) group = std::min(group, plan.input->GroupOf(k));
  if (plan.weight && plan.weight->granularity == Granularity::kGroup) {
    group = std::min(group, plan.weight->group_size);
  }
  return group;
}

std::string SpecText(const WeightSpec& spec) {
  const bool groups = spec.granularity == Granularity::kGroup;
  const bool native = spec.convention == WeightConvention::kNative;
  return fmt::format("{} bits ({}{}{}{})", spec.num_bits, NameOf(spec.granularity),
                     groups ? fmt::format(" {}", spec.group_size) : "",
                     spec.symmetric ? "" : ", with zero points",
                     native ? "" : fmt::format(", convention {}", NameOf(spec.convention)));
}

}  // namespace w8a8
