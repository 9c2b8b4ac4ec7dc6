#include "eval/export/vllm_scheme.h"

#include <algorithm>
#include <array>
#include <optional>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using enum VllmVerdict;

constexpr const char* kRounded = "weight scales are rounded to the model's dtype on loading";

bool HasRows(const WeightSpec& weight) {  // a scale for each row, or more
  return weight.granularity != Granularity::kTensor;
}

bool IsDynamic(const Quantizer& input) { return !input.is_static(); }

// Both sides static: "and/or" in vLLM's docstring, "and" in its code.
bool QuantizesBothSides(const SitePlan& plan) {
  return plan.input && plan.input->is_static() && plan.output;
}

VllmScheme BothSides(const SitePlan& plan) {
  VllmScheme scheme{.name = "WNA8O8Int"};
  const WeightSpec& weight = *plan.weight;
  if (!weight.symmetric || !plan.input->symmetric) {
    return {"WNA8O8Int", kRefused, "it has no parameter for zero points"};
  }
  constexpr std::array kBits = {2, 4, 8};
  if (std::ranges::find(kBits, weight.num_bits) == kBits.end()) {
    return {"WNA8O8Int", kRefused, "it takes weights of 2, 4 and 8 bits"};
  }
  scheme.note = std::string(
                    "inputs and outputs are fake-quantized to -128..127 around a 16-bit "
                    "product; ") +
                kRounded;
  if (plan.input->scale == 0.0f || plan.output->scale == 0.0f) {
    scheme.note += "; a scale of 0 means uncalibrated: that side is not quantized";
  }
  return scheme;
}

VllmScheme WeightOnly(const WeightSpec& weight, CompressedFormat format) {
  if (format == CompressedFormat::kIntQuantized) {
    return {"", kRefused, "weight-only integers are read from pack-quantized folders only"};
  }
  if (!HasRows(weight)) {
    return {"", kRefused, "weight-only integers have no per-tensor scale there"};
  }
  if (!weight.symmetric && weight.num_bits != 4 && weight.num_bits != 8) {
    return {"WNA16", kRefused, "zero points go with weights of 4 or 8 bits there"};
  }
  return {"WNA16", kAsPlanned, kRounded};
}

// The silent-A16 trap.
VllmScheme PackedWithDynamicInputs(const SitePlan& plan) {
  const int bits = plan.weight->num_bits;
  if (bits != 4 && bits != 8) return {"WNA8Int", kAsPlanned, "only the Humming kernel runs it"};
  return {"WNA8Int", kOtherwise,
          "weight-only kernels are picked first, which leave the inputs in FP16, unless its linear "
          "backend is humming"};
}

// INT8 products, of codes that lie one to a byte.
VllmScheme IntegerProduct(const SitePlan& plan) {
  const WeightSpec& weight = *plan.weight;
  const Quantizer& input = *plan.input;
  const bool rows_or_tensor = weight.granularity != Granularity::kGroup;
  if (weight.num_bits == 8 && weight.symmetric && rows_or_tensor &&
      input.granularity != Granularity::kGroup) {
    VllmScheme scheme{.name = "W8A8Int8"};
    if (!input.symmetric && IsDynamic(input)) {
      scheme.note = "the range of a row is not widened to hold 0 there";
    }
    return scheme;
  }
  const bool token = input.granularity == Granularity::kToken && input.symmetric;
  if (weight.num_bits == 4 && weight.symmetric && HasRows(weight) && token) {
    return {"W4A8Int", kAsPlanned, "only the Arm CPU kernel runs it"};
  }
  return {"", kRefused, "no class of its own fits"};
}

VllmScheme WithoutOutput(const SitePlan& plan, CompressedFormat format) {
  if (!plan.input) return WeightOnly(*plan.weight, format);
  if (format == CompressedFormat::kIntQuantized) return IntegerProduct(plan);
  const Quantizer& input = *plan.input;
  if (IsDynamic(input) && input.symmetric && HasRows(*plan.weight)) {
    return PackedWithDynamicInputs(plan);
  }
  return {"", kRefused, "packed weights go with symmetric dynamic inputs or FP16 ones there"};
}

}  // namespace

VllmScheme VllmSchemeOf(const SitePlan& plan, CompressedFormat format) {
  W8A8_CHECK(plan.weight.has_value());
  if (QuantizesBothSides(plan) && HasRows(*plan.weight)) return BothSides(plan);
  VllmScheme scheme = WithoutOutput(plan, format);
  if (!plan.output || scheme.verdict == kRefused) return scheme;
  return {scheme.name, kRefused,
          "outputs are quantized only beside static inputs and a scale for each row; there is no "
          "parameter for output_scale"};
}

}  // namespace w8a8
