#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/fake_arithmetic.h"
#include "quant/fake_quant.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

float AsHalf(float value) { return InDtypeOf(FakeFlavour::kLlmAwq, value); }

FakeWeights QuantizeLlmAwq(MatView<const float> weight, int bits) {
  FakeWeights out{.weight = {.n = weight.rows, .k = weight.cols, .bits = bits}, .values = {}};
  std::vector<float> halves(static_cast<size_t>(weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) {
    std::ranges::transform(weight.row_span(r), halves.begin(), AsHalf);
    const float scale = LlmAwqScale(Amax(RangeOf(halves)), MaxCode(bits));
    out.weight.scale.values.push_back(scale);
    for (const float value : halves) {
      const float rounded = RoundToEven(AsHalf(value / scale));
      out.weight.codes.push_back(SaturatedCode(rounded));
      out.values.push_back(AsHalf(rounded * scale));
    }
  }
  return out;
}

// Names what the flavour's dtype cannot hold.
[[noreturn]] void FailDtype(const std::string& name, FakeFlavour flavour, const std::string& what,
                            float value, float rounded) {
  FailWith({Setting::kFakeFlavour, "ideal"},
           "{}: {} {} becomes {} in {}, in which the fake flavour {} computes.", name, what, value,
           rounded, DtypeNameOf(flavour), NameOf(flavour));
}

void CheckFitsHalf(const std::string& name, MatView<const float> weight) {
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (const float value : weight.row_span(r)) {
      if (std::isfinite(AsHalf(value))) continue;
      FailDtype(name, FakeFlavour::kLlmAwq, fmt::format("the weight in row {},", r), value,
                AsHalf(value));
    }
  }
}

// Codes against the scales rounded to the dtype; a scale that this makes 0 is 1, its codes 0.
WeightCodes QuantizeVllm(const std::string& name, MatView<const float> weight,
                         const WeightSpec& spec, FakeFlavour flavour) {
  std::vector<float> scale = QuantizeWeights(name, weight, spec).scale.values;
  for (float& value : scale) {
    if (InDtypeOf(flavour, value) == 0.0f) value = 1.0f;
  }
  return QuantizeWeightsBy(name, weight, FakeScales(name, std::move(scale), flavour), spec);
}

// code * scale in vLLM's dtype, in which the scales are.
FakeWeights InDtype(const std::string& name, WeightCodes weight, FakeFlavour flavour) {
  std::vector<float> values = weight.RealValues();
  for (float& value : values) {
    const float exact = value;
    value = InDtypeOf(flavour, exact);
    if (!std::isfinite(value)) FailDtype(name, flavour, "a weight, code * scale,", exact, value);
  }
  return {std::move(weight), std::move(values)};
}

}  // namespace

FakeWeights FakeQuantizeWeights(const std::string& name, MatView<const float> weight,
                                const WeightSpec& spec, FakeFlavour flavour) {
  W8A8_CHECK(flavour != FakeFlavour::kIdeal && spec.convention == WeightConvention::kNative);
  CheckWeights(name, weight, spec);
  if (IsVllmStatic(flavour)) {
    return InDtype(name, QuantizeVllm(name, weight, spec, flavour), flavour);
  }
  W8A8_CHECK(spec.granularity == Granularity::kChannel);
  CheckFitsHalf(name, weight);
  return QuantizeLlmAwq(weight, spec.num_bits);
}

FakeWeights FakeWeightsFromCodes(const std::string& name, WeightCodes weight, FakeFlavour flavour) {
  W8A8_CHECK(flavour != FakeFlavour::kIdeal);
  if (IsVllmStatic(flavour)) {
    weight.scale.values = FakeScales(name, std::move(weight.scale.values), flavour);
    return InDtype(name, std::move(weight), flavour);
  }
  if (weight.Spec() != WeightSpec{.num_bits = weight.bits}) {
    FailWith(
        {Setting::kFakeFlavour, "ideal"},
        "{}: the codes have zero points, or scales but one per output row; the fake flavour {} "
        "does not know either.",
        name, NameOf(flavour));
  }
  std::vector<float> values = weight.RealValues();
  std::ranges::transform(values, values.begin(), AsHalf);
  return FakeQuantizeWeights(name, {values.data(), weight.n, weight.k, weight.k},
                             {.num_bits = weight.bits}, flavour);
}

std::vector<float> FakeScales(const std::string& name, std::vector<float> scale,
                              FakeFlavour flavour) {
  if (!IsVllmStatic(flavour)) return scale;
  for (float& value : scale) {
    const float rounded = InDtypeOf(flavour, value);
    if (rounded == 0.0f || !std::isfinite(rounded)) {
      FailDtype(name, flavour, "the weight scale", value, rounded);
    }
    value = rounded;
  }
  return scale;
}

std::vector<float> FakeBias(const std::string& name, std::vector<float> bias, FakeFlavour flavour) {
  if (!IsVllmStatic(flavour)) return bias;
  for (float& value : bias) {
    const float rounded = InDtypeOf(flavour, value);
    if (!std::isfinite(rounded)) FailDtype(name, flavour, "the bias", value, rounded);
    value = rounded;
  }
  return bias;
}

}  // namespace w8a8
