#include "quant/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/numerics.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

// The nearest FP16 value, as binary32. One binary32 operation on FP16 operands rounded by this is
// the FP16 operation: 24 bits are enough for innocuous double rounding.
float AsHalf(float value) { return ToFloat(ToHalf(value)); }

const float kLlmAwqMinAmax = AsHalf(1e-5f);

// torch's amax: a NaN anywhere is the result.
float PropagatingAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) {
    if (std::isnan(value)) return value;
    amax = std::max(amax, Abs(value));
  }
  return amax;
}

float LlmAwqScale(float amax, int32_t max_code) {
  const float clamped = amax < kLlmAwqMinAmax ? kLlmAwqMinAmax : amax;
  return AsHalf(clamped / static_cast<float>(max_code));
}

int8_t SaturatedCode(float rounded) {
  return std::isnan(rounded) ? int8_t{0}
                             : static_cast<int8_t>(std::clamp(rounded, -128.0f, 127.0f));
}

FakeWeights QuantizeLlmAwq(MatView<const float> weight, int bits) {
  FakeWeights out{.weight = {.n = weight.rows, .k = weight.cols, .bits = bits}, .values = {}};
  std::vector<float> halves(static_cast<size_t>(weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) {
    std::ranges::transform(weight.row_span(r), halves.begin(), AsHalf);
    const float scale = LlmAwqScale(PropagatingAmax(halves), MaxCode(bits));
    out.weight.scale.values.push_back(scale);
    for (const float value : halves) {
      const float rounded = RoundToEven(AsHalf(value / scale));
      out.weight.codes.push_back(SaturatedCode(rounded));
      out.values.push_back(AsHalf(rounded * scale));
    }
  }
  return out;
}

// Codes against the scales rounded to FP16.
WeightCodes QuantizeVllm(const std::string& name, MatView<const float> weight,
                         const WeightSpec& spec) {
  std::vector<float> scale = QuantizeWeights(name, weight, spec).scale.values;
  for (float& value : scale) {
    value = AsHalf(value);
    if (value == 0.0f) value = 1.0f;  // a row below FP16's smallest scale has codes 0
  }
  return QuantizeWeightsBy(name, weight, std::move(scale), spec);
}

std::vector<float> AsHalves(std::vector<float> values) {
  std::ranges::transform(values, values.begin(), AsHalf);
  return values;
}

void CheckFitsHalf(const std::string& name, MatView<const float> weight) {
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (const float value : weight.row_span(r)) {
      if (std::isfinite(AsHalf(value))) continue;
      FailWith(
          {Setting::kFakeFlavour, "ideal"},
          "{}: a weight in row {} is {}, beyond FP16's 65504; this fake flavour computes in FP16.",
          name, r, value);
    }
  }
}

// FP16 arithmetic on one row: what each element goes through after the clamp to R.
struct HalfRow {
  FakeFlavour flavour;  // llm-awq or vllm-static
  float clip_range;
  float scale;

  float Clipped(float x) const {
    return std::isinf(clip_range) ? x : AsHalf(Clamp(x, -clip_range, clip_range));
  }
  float Quotient(float x) const { return AsHalf(Clipped(x) / scale); }
  // The code as a float: an integer, or NaN.
  float Code(float quotient) const {
    const float code = RoundToEven(quotient);
    return flavour == FakeFlavour::kVllmStatic ? Clamp(code, -128.0f, 127.0f) : code;
  }
};

HalfRow HalfRowOf(std::span<const float> row, const Quantizer& input, FakeFlavour flavour) {
  HalfRow half{flavour, input.clip_range, AsHalf(input.scale)};
  if (!input.is_static()) half.scale = LlmAwqScale(half.Clipped(PropagatingAmax(row)), kMaxCode);
  return half;
}

// In place: row holds x, then the dequantized values. Returns the scale.
float QuantizeDequantizeHalf(std::span<float> row, const HalfRow& half, int8_t* codes,
                             QuantizeCounts* counts) {
  for (float& x : row) {
    const float quotient = half.Quotient(x);
    const float code = half.Code(quotient);
    *codes++ = SaturatedCode(code);
    if (counts != nullptr) {
      counts->nan += std::isnan(x) ? 1 : 0;
      counts->inf += std::isinf(x) ? 1 : 0;
      counts->saturated += std::isfinite(x) && Abs(quotient) >= 127.5f ? 1 : 0;
    }
    x = AsHalf(code * half.scale);
  }
  return half.scale;
}

// The same by numerics.md section 2, in binary32.
float QuantizeDequantizeIdeal(std::span<float> row, const Quantizer& input, int8_t* codes,
                              QuantizeCounts* counts) {
  ActivationScale scale{};
  QuantizeRowReference(row, input, codes, &scale, counts);
  for (float& x : row) x = Quantizer::RealOf(*codes++, scale);
  return scale.scale;
}

}  // namespace

FakeWeights FakeQuantizeWeights(const std::string& name, MatView<const float> weight,
                                const WeightSpec& spec, FakeFlavour flavour) {
  W8A8_CHECK(flavour != FakeFlavour::kIdeal);
  CheckWeights(name, weight, spec);
  CheckFitsHalf(name, weight);
  if (flavour == FakeFlavour::kLlmAwq) return QuantizeLlmAwq(weight, spec.num_bits);
  WeightCodes codes = QuantizeVllm(name, weight, spec);
  std::vector<float> values = AsHalves(codes.RealValues());
  return {std::move(codes), std::move(values)};
}

FakeWeights FakeWeightsFromCodes(const std::string& name, WeightCodes weight, FakeFlavour flavour) {
  W8A8_CHECK(flavour != FakeFlavour::kIdeal);
  if (flavour == FakeFlavour::kVllmStatic) {
    weight.scale.values = AsHalves(std::move(weight.scale.values));
  }
  std::vector<float> values = AsHalves(weight.RealValues());
  if (flavour == FakeFlavour::kVllmStatic) return {std::move(weight), std::move(values)};
  return FakeQuantizeWeights(name, {values.data(), weight.n, weight.k, weight.k},
                             {.num_bits = weight.bits}, flavour);
}

void CheckFakeQuantizer(const Quantizer& input, FakeFlavour flavour, const std::string& site) {
  if (flavour == FakeFlavour::kVllmStatic) {
    if (!input.is_static()) {
      FailWith({Setting::kFakeFlavour, "ideal"},
               "{}: the fake flavour vllm-static has one static scale per tensor, but this site is "
               "per-token. Use a per-tensor plan, or another flavour.",
               site);
    }
    if (input.scale == 0.0f) return;
  }
  CheckQuantizer(input, site);
  if (flavour == FakeFlavour::kIdeal || !input.is_static()) return;
  const float scale = AsHalf(input.scale);
  if (scale == 0.0f || std::isinf(scale)) {
    FailWith({Setting::kFakeFlavour, "ideal"},
             "{}: the static input scale {} becomes {} in FP16, in which the fake flavour {} "
             "computes.",
             site, input.scale, scale, NameOf(flavour));
  }
}

void CheckFakePlan(const std::string& site, const SitePlan& plan, int64_t k, FakeFlavour flavour) {
  const bool uncalibrated = flavour == FakeFlavour::kVllmStatic && plan.input &&
                            plan.input->is_static() && plan.input->scale == 0.0f;
  SitePlan calibrated = plan;
  if (uncalibrated) calibrated.input->scale = 1.0f;
  CheckSitePlan(site, calibrated, k);
  if (plan.input) CheckFakeQuantizer(*plan.input, flavour, site);
}

void QuantizeDequantizeRows(MatView<const Half> x, const Quantizer& input, FakeFlavour flavour,
                            MatView<float> values, const FakeRowsDetail& detail) {
  W8A8_CHECK(values.rows == x.rows && values.cols == x.cols);
  const bool uncalibrated = flavour == FakeFlavour::kVllmStatic && input.scale == 0.0f;
  std::vector<int8_t> unwanted(detail.codes == nullptr ? static_cast<size_t>(x.cols) : 0);
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<float> row = values.row_span(r);
    ToFloat(x.row_span(r), row);
    int8_t* codes = detail.codes == nullptr ? unwanted.data() : detail.codes + r * x.cols;
    float scale = 0.0f;
    if (uncalibrated) {
      std::fill_n(codes, x.cols, int8_t{0});
    } else if (flavour == FakeFlavour::kIdeal) {
      scale = QuantizeDequantizeIdeal(row, input, codes, detail.counts);
    } else {
      scale = QuantizeDequantizeHalf(row, HalfRowOf(row, input, flavour), codes, detail.counts);
    }
    if (detail.scale != nullptr) detail.scale[r] = scale;
  }
}

}  // namespace w8a8
