#include <cmath>

#include "quant/fake_arithmetic.h"
#include "quant/fake_quant.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

// "knows bits and nothing else": everything of section 6 but the weights' width.
std::string_view UnknownToLlmAwq(const SitePlan& plan) {
  if (plan.output) return "output quantization";
  if (!plan.smoothing.empty() || plan.rotation) return "smoothing and rotation";
  if (plan.first_row_twice) return "a first row that is coded twice";
  if (!plan.weight) return "";
  if (plan.weight->granularity != Granularity::kChannel) {
    return "weight scales but one per output row";
  }
  if (!plan.weight->symmetric) return "weights with zero points";
  if (plan.weight->convention != WeightConvention::kNative) return "a weight convention";
  if (!plan.input) return "weight-only sites";
  if (!plan.input->symmetric) return "zero points of inputs";
  return plan.input->granularity == Granularity::kGroup ? "inputs in groups" : "";
}

std::string_view UnknownToVllm(const SitePlan& plan) {
  if (!plan.smoothing.empty() || plan.rotation) return "smoothing and rotation";
  if (plan.first_row_twice) return "a first row that is coded twice";
  if (plan.output && !plan.weight) return "output quantization of FP16 weights";
  if (plan.weight && !plan.weight->symmetric) return "weights with zero points";
  if (plan.input && !plan.input->is_static()) {
    return "dynamic input scales, which per-tensor plans do not have";
  }
  return plan.input && !plan.input->symmetric ? "zero points of inputs" : "";
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

}  // namespace

std::string_view UnknownTo(FakeFlavour flavour, const SitePlan& plan) {
  if (flavour == FakeFlavour::kLlmAwq) return UnknownToLlmAwq(plan);
  return IsVllmStatic(flavour) ? UnknownToVllm(plan) : "";
}

void CheckFakePlan(const std::string& site, const SitePlan& plan, int64_t k, FakeFlavour flavour) {
  SitePlan any_scale = plan;
  if (IsVllmStatic(flavour)) {
    // numerics.md's own checks refuse scales that only vllm-static takes, which checks its own.
    for (std::optional<Quantizer>* quantizer : {&any_scale.input, &any_scale.output}) {
      if (*quantizer) (*quantizer)->scale = 1.0f;
    }
  }
  CheckSitePlan(site, any_scale, k);
  const std::string_view unknown = UnknownTo(flavour, Normalized(plan, k));
  if (!unknown.empty()) {
    FailWith({Setting::kFakeFlavour, "ideal"}, "{}: the fake flavour {} does not know {}.", site,
             NameOf(flavour), unknown);
  }
  if (flavour == FakeFlavour::kIdeal) return;
  if (plan.input) CheckScaleFits(*plan.input, "input", flavour, site);
  if (plan.output) CheckScaleFits(*plan.output, "output", flavour, site);
}

}  // namespace w8a8
