#include <cmath>

#include "quant/fake_arithmetic.h"
#include "quant/fake_quant.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

[[noreturn]] void Refuse(const std::string& site, FakeFlavour flavour, const char* what) {
  FailWith({Setting::kFakeFlavour, "ideal"}, "{}: the fake flavour {} does not know {}.", site,
           NameOf(flavour), what);
}

// "knows bits and nothing else": everything of section 6 but the weights' width.
void CheckLlmAwqPlan(const std::string& site, const SitePlan& plan) {
  const auto refuse = [&site](const char* what) { Refuse(site, FakeFlavour::kLlmAwq, what); };
  if (plan.output) refuse("output quantization");
  if (!plan.smoothing.empty() || plan.rotation) refuse("smoothing and rotation");
  if (plan.first_row_twice) refuse("a first row that is coded twice");
  if (!plan.weight) return;
  if (plan.weight->granularity != Granularity::kChannel) {
    refuse("weight scales but one per output row");
  }
  if (!plan.weight->symmetric) refuse("weights with zero points");
  if (plan.weight->convention != WeightConvention::kNative) refuse("a weight convention");
  if (!plan.input) refuse("weight-only sites");
  if (!plan.input->symmetric) refuse("zero points of inputs");
  if (plan.input->granularity == Granularity::kGroup) refuse("inputs in groups");
}

void CheckVllmPlan(const std::string& site, const SitePlan& plan, FakeFlavour flavour) {
  const auto refuse = [&](const char* what) { Refuse(site, flavour, what); };
  if (!plan.smoothing.empty() || plan.rotation) refuse("smoothing and rotation");
  if (plan.first_row_twice) refuse("a first row that is coded twice");
  if (plan.output && !plan.weight) refuse("output quantization of FP16 weights");
  if (plan.weight && !plan.weight->symmetric) refuse("weights with zero points");
}

// `side`: "input" or "output". 0 is vllm-static's uncalibrated side.
void CheckScaleFits(const Quantizer& quantizer, const char* side, FakeFlavour flavour,
                    const std::string& site) {
  const float scale = quantizer.scale;
  if (!quantizer.is_static() || (IsVllmStatic(flavour) && scale == 0.0f)) return;
  const float rounded = InDtypeOf(flavour, scale);
  if (rounded > 0.0f && std::isfinite(rounded)) return;
  FailWith({Setting::kFakeFlavour, "ideal"},
           "{}: the static {} scale {} becomes {} in {}, in which the fake flavour {} computes.",
           site, side, scale, rounded, DtypeNameOf(flavour), NameOf(flavour));
}

// The quantizer as the checks of numerics.md's own can see it: they refuse scales that only
// vllm-static takes, and this flavour checks its own.
Quantizer WithAnyScale(Quantizer quantizer) {
  quantizer.scale = 1.0f;
  return quantizer;
}

}  // namespace

void CheckFakeQuantizer(const Quantizer& input, FakeFlavour flavour, const std::string& site) {
  if (!IsVllmStatic(flavour)) {
    CheckQuantizer(input, site);
    if (flavour == FakeFlavour::kLlmAwq) CheckScaleFits(input, "input", flavour, site);
    return;
  }
  if (!input.is_static()) {
    FailWith({Setting::kFakeFlavour, "ideal"},
             "{}: the fake flavour {} has one static scale per tensor, but this site is {}. Use a "
             "per-tensor plan, or another flavour.",
             site, NameOf(flavour), NameOf(input.granularity));
  }
  if (!input.symmetric) Refuse(site, flavour, "zero points of inputs");
  CheckQuantizer(WithAnyScale(input), site);
  CheckScaleFits(input, "input", flavour, site);
}

void CheckFakePlan(const std::string& site, const SitePlan& plan, int64_t k, FakeFlavour flavour) {
  if (!IsVllmStatic(flavour)) {
    CheckSitePlan(site, plan, k);
    if (flavour == FakeFlavour::kLlmAwq) CheckLlmAwqPlan(site, Normalized(plan, k));
    if (plan.input) CheckFakeQuantizer(*plan.input, flavour, site);
    return;
  }
  CheckVllmPlan(site, plan, flavour);
  if (plan.input) CheckFakeQuantizer(*plan.input, flavour, site);
  if (plan.output) CheckScaleFits(*plan.output, "output", flavour, site);
  SitePlan any_scale = plan;
  if (plan.input) any_scale.input = WithAnyScale(*plan.input);
  if (plan.output) any_scale.output = WithAnyScale(*plan.output);
  CheckSitePlan(site, any_scale, k);
}

}  // namespace w8a8
