#include "quant/fake_quant.h"

#include <algorithm>
#include <cmath>

#include "quant/numerics.h"
#include "quant/quantized_linear.h"
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

int32_t MaxCode(int num_bits) { return (1 << (num_bits - 1)) - 1; }

void CheckWeightSpec(const std::string& name, const WeightSpec& spec) {
  if (spec.granularity != Granularity::kChannel) {
    Fail("{}: weights have one scale per output row (per-channel).", name);
  }
  if (spec.num_bits < 2 || spec.num_bits > 8) {
    Fail("{}: weights of {} bits; 2 to 8 are possible.", name, spec.num_bits);
  }
}

void QuantizeLlmAwqRow(std::span<const float> row, int32_t max_code, FakeWeights* out) {
  std::vector<float> halves(row.size());
  std::ranges::transform(row, halves.begin(), AsHalf);
  const float scale = LlmAwqScale(PropagatingAmax(halves), max_code);
  out->scale.push_back(scale);
  for (const float value : halves) {
    const float rounded = RoundToEven(AsHalf(value / scale));
    out->codes.push_back(SaturatedCode(rounded));
    out->values.push_back(AsHalf(rounded * scale));
  }
}

void QuantizeRow(std::span<const float> row, int32_t max_code, FakeFlavour flavour,
                 FakeWeights* out) {
  float scale = WeightScale(PropagatingAmax(row), max_code);
  if (flavour == FakeFlavour::kVllmStatic) {
    scale = AsHalf(scale);
    if (scale == 0.0f) scale = 1.0f;  // a row below FP16's smallest scale has codes 0
  }
  out->scale.push_back(scale);
  for (const float value : row) {
    const int8_t code = WeightCode(value, scale, max_code);
    const float product = static_cast<float>(code) * scale;
    out->codes.push_back(code);
    out->values.push_back(flavour == FakeFlavour::kIdeal ? product : AsHalf(product));
  }
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

// One row's scale, and what each element goes through after the clamp to R.
struct RowQuantizer {
  FakeFlavour flavour;
  float clip_range;
  float scale, inv_scale;

  float Quotient(float x) const {
    return flavour == FakeFlavour::kIdeal ? x * inv_scale : AsHalf(x / scale);
  }
  // The code as a float: an integer, or NaN (never for ideal).
  float Code(float quotient) const {
    switch (flavour) {
      case FakeFlavour::kIdeal:
        return std::isnan(quotient) ? 0.0f : RoundToEven(Clamp(quotient, -127.0f, 127.0f));
      case FakeFlavour::kLlmAwq:
        return RoundToEven(quotient);
      case FakeFlavour::kVllmStatic:
        return Clamp(RoundToEven(quotient), -128.0f, 127.0f);
    }
    return 0.0f;
  }
  float Value(float code) const {
    return flavour == FakeFlavour::kIdeal ? code * scale : AsHalf(code * scale);
  }
};

float ClipToRange(float x, const RowQuantizer& q) {
  if (q.flavour == FakeFlavour::kIdeal || std::isinf(q.clip_range)) return x;
  return AsHalf(Clamp(x, -q.clip_range, q.clip_range));
}

float FiniteAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) {
    if (std::isfinite(value)) amax = std::max(amax, Abs(value));
  }
  return amax;
}

RowQuantizer MakeQuantizer(std::span<const float> row, const Quantizer& spec, FakeFlavour flavour) {
  RowQuantizer q{flavour, spec.clip_range, 0.0f, 0.0f};
  const bool is_static = spec.granularity == Granularity::kTensor;
  if (flavour == FakeFlavour::kIdeal) {
    const ActivationScale s =
        is_static ? TensorScale(spec.scale) : TokenScale(FiniteAmax(row), spec.clip_range);
    q.scale = s.scale;
    q.inv_scale = s.inv_scale;
  } else if (is_static) {
    q.scale = AsHalf(spec.scale);
  } else {
    q.scale = LlmAwqScale(ClipToRange(PropagatingAmax(row), q), kMaxCode);
  }
  return q;
}

void CountInput(float x, float quotient, QuantizeCounts* counts) {
  counts->nan += std::isnan(x) ? 1 : 0;
  counts->inf += std::isinf(x) ? 1 : 0;
  counts->saturated += std::isfinite(x) && Abs(quotient) >= 127.5f ? 1 : 0;
}

// In place: row holds x, then the dequantized values.
void QuantizeDequantizeRow(std::span<float> row, const RowQuantizer& q, int8_t* codes,
                           QuantizeCounts* counts) {
  for (float& x : row) {
    const float quotient = q.Quotient(ClipToRange(x, q));
    const float code = q.Code(quotient);
    if (codes != nullptr) *codes++ = SaturatedCode(code);
    if (counts != nullptr) CountInput(x, quotient, counts);
    x = q.Value(code);
  }
}

}  // namespace

FakeWeights FakeQuantizeWeights(const std::string& name, MatView<const float> weight,
                                const WeightSpec& spec, FakeFlavour flavour) {
  CheckWeightSpec(name, spec);
  CheckWeights(name, weight);
  if (flavour != FakeFlavour::kIdeal) CheckFitsHalf(name, weight);
  FakeWeights out;
  for (int64_t r = 0; r < weight.rows; ++r) {
    if (flavour == FakeFlavour::kLlmAwq) {
      QuantizeLlmAwqRow(weight.row_span(r), MaxCode(spec.num_bits), &out);
    } else {
      QuantizeRow(weight.row_span(r), MaxCode(spec.num_bits), flavour, &out);
    }
  }
  return out;
}

FakeWeights FakeWeightsFromCodes(const std::string& name, int64_t n, int64_t k,
                                 std::span<const int8_t> codes, std::span<const float> scale,
                                 FakeFlavour flavour) {
  const auto linear =
      QuantizedLinear::FromCodes(name, n, k, {codes.begin(), codes.end()},
                                 {scale.begin(), scale.end()}, {});  // for its checks
  FakeWeights out{.values = {}, .codes = linear.weight_codes, .scale = linear.weight_scale};
  if (flavour == FakeFlavour::kVllmStatic) std::ranges::transform(scale, out.scale.begin(), AsHalf);
  for (size_t i = 0; i < codes.size(); ++i) {
    const float value = static_cast<float>(codes[i]) * out.scale[i / static_cast<size_t>(k)];
    out.values.push_back(flavour == FakeFlavour::kIdeal ? value : AsHalf(value));
  }
  if (flavour != FakeFlavour::kLlmAwq) return out;
  return FakeQuantizeWeights(name, {out.values.data(), n, k, k}, WeightSpec{}, flavour);
}

std::vector<float> DequantizedWeights(const std::string& name, MatView<const float> weight,
                                      const WeightSpec& spec, FakeFlavour flavour) {
  return FakeQuantizeWeights(name, weight, spec, flavour).values;
}

void CheckFakeSpec(const Quantizer& spec, FakeFlavour flavour, const std::string& site) {
  const bool is_static = spec.granularity == Granularity::kTensor;
  if (flavour == FakeFlavour::kVllmStatic) {
    if (!is_static) {
      FailWith({Setting::kFakeFlavour, "ideal"},
               "{}: the fake flavour vllm-static has one static scale per tensor, but this site is "
               "per-token. Use a per-tensor plan, or another flavour.",
               site);
    }
    if (spec.scale == 0.0f) return;
  }
  CheckQuantizer(spec, site);
  if (flavour == FakeFlavour::kIdeal || !is_static) return;
  const float scale = AsHalf(spec.scale);
  if (scale == 0.0f || std::isinf(scale)) {
    FailWith({Setting::kFakeFlavour, "ideal"},
             "{}: the static input scale {} becomes {} in FP16, in which the fake flavour {} "
             "computes.",
             site, spec.scale, scale, FakeFlavourName(flavour));
  }
}

void QuantizeDequantizeRows(MatView<const Half> x, const Quantizer& spec, FakeFlavour flavour,
                            MatView<float> values, const FakeRowsDetail& detail) {
  W8A8_CHECK(values.rows == x.rows && values.cols == x.cols);
  const bool uncalibrated = flavour == FakeFlavour::kVllmStatic && spec.scale == 0.0f;
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<float> row = values.row_span(r);
    ToFloat(x.row_span(r), row);
    const RowQuantizer q = MakeQuantizer(row, spec, flavour);
    if (detail.scale != nullptr) detail.scale[r] = q.scale;
    int8_t* codes = detail.codes == nullptr ? nullptr : detail.codes + r * x.cols;
    if (!uncalibrated) {
      QuantizeDequantizeRow(row, q, codes, detail.counts);
    } else if (codes != nullptr) {
      std::fill_n(codes, x.cols, int8_t{0});
    }
  }
}

}  // namespace w8a8
