#include "quant/fake_quant.h"

#include <algorithm>
#include <cmath>

#include "quant/fake_arithmetic.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// torch's amax: a NaN anywhere is the result.
float PropagatingAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) {
    if (std::isnan(value)) return value;
    amax = std::max(amax, Abs(value));
  }
  return amax;
}

// Arithmetic of a peer's dtype on one row: what each element goes through after the clamp to R.
struct DtypeRow {
  FakeFlavour flavour;
  float clip_range;
  float scale;

  float Clipped(float x) const {
    return std::isinf(clip_range) ? x : InDtypeOf(flavour, Clamp(x, -clip_range, clip_range));
  }
  float Quotient(float x) const { return InDtypeOf(flavour, Clipped(x) / scale); }
  // The code as a float: an integer, or NaN.
  float Code(float quotient) const {
    const float code = RoundToEven(quotient);
    return IsVllmStatic(flavour) ? Clamp(code, -128.0f, 127.0f) : code;
  }
  // x finite: its rounded value is beyond the codes; llm-awq clamps nothing and has section 2's.
  bool Saturates(float quotient) const {
    if (!IsVllmStatic(flavour)) return Abs(quotient) >= 127.5f;
    const float code = RoundToEven(quotient);
    return code < -128.0f || code > 127.0f;
  }
};

DtypeRow DtypeRowOf(std::span<const float> row, const Quantizer& input, FakeFlavour flavour) {
  DtypeRow dtype{flavour, input.clip_range, InDtypeOf(flavour, input.scale)};
  if (!input.is_static()) dtype.scale = LlmAwqScale(dtype.Clipped(PropagatingAmax(row)), kMaxCode);
  return dtype;
}

void CountNonfinite(std::span<const float> row, QuantizeCounts& counts) {
  for (const float x : row) {
    counts.nan += std::isnan(x) ? 1 : 0;
    counts.inf += std::isinf(x) ? 1 : 0;
  }
}

// In place: row holds x, then the dequantized values.
void QuantizeDequantizeRow(std::span<float> row, const DtypeRow& dtype, int8_t* codes,
                           QuantizeCounts& counts) {
  for (float& x : row) {
    const float quotient = dtype.Quotient(x);
    const float code = dtype.Code(quotient);
    *codes++ = SaturatedCode(code);
    counts.saturated += std::isfinite(x) && dtype.Saturates(quotient) ? 1 : 0;
    x = InDtypeOf(dtype.flavour, code * dtype.scale);
  }
}

// Of llm-awq and vllm-static.
void QuantizeDequantizeInDtype(MatView<const Half> x, const Quantizer& input, FakeFlavour flavour,
                               MatView<float> values, ReferenceRows* rows) {
  const bool uncalibrated = IsVllmStatic(flavour) && input.scale == 0.0f;
  ReferenceRows& out = *rows;
  out.values.clear();
  out.counts = {};
  out.codes.resize(uncalibrated ? 0 : static_cast<size_t>(x.rows * x.cols));
  out.scales = {};
  if (!uncalibrated) {
    out.scales = {.values = {}, .shared = input.is_static(), .groups = 1, .group_size = x.cols};
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<float> row = values.row_span(r);
    ToFloat(x.row_span(r), row);
    CountNonfinite(row, out.counts);
    if (flavour == FakeFlavour::kVllmStaticBf16) RoundInput(flavour, {row.data(), 1, x.cols, 0});
    if (uncalibrated) continue;
    const DtypeRow dtype = DtypeRowOf(row, input, flavour);
    QuantizeDequantizeRow(row, dtype, out.codes.data() + r * x.cols, out.counts);
    if (r == 0 || !out.scales.shared) out.scales.values.push_back(dtype.scale);
  }
}

// The same by fake_quant_static_int8 of vLLM. torch's round keeps the sign of a zero.
float VllmOutput(const DtypeRow& dtype, float y, int8_t* code, uint64_t* saturated) {
  const float quotient = dtype.Quotient(y);
  const float rounded = dtype.Code(quotient);
  *code = SaturatedCode(rounded);
  *saturated += std::isfinite(y) && dtype.Saturates(quotient) ? 1 : 0;
  return InDtypeOf(dtype.flavour, std::copysign(rounded, quotient) * dtype.scale);
}

}  // namespace

ReferenceRows QuantizeDequantizeRows(MatView<const Half> x, const InputScheme& scheme,
                                     FakeFlavour flavour, MatView<float> values) {
  ReferenceRows rows;
  QuantizeDequantizeRows(x, scheme, flavour, values, &rows);
  return rows;
}

void QuantizeDequantizeRows(MatView<const Half> x, const InputScheme& scheme, FakeFlavour flavour,
                            MatView<float> values, ReferenceRows* rows) {
  W8A8_CHECK(values.rows == x.rows && values.cols == x.cols);
  if (flavour != FakeFlavour::kIdeal) {
    return QuantizeDequantizeInDtype(x, scheme.quantizer, flavour, values, rows);
  }
  QuantizeRowsReference(x, scheme, rows);
  RealValuesOf(*rows, values);
}

void RoundInput(FakeFlavour flavour, MatView<float> values) {
  for (int64_t r = 0; r < values.rows; ++r) {
    for (float& value : values.row_span(r)) value = InDtypeOf(flavour, value);
  }
}

bool HasOutputCodes(const FakeOutput& output) {
  return output.output && (!IsVllmStatic(output.flavour) || output.output->scale != 0.0f);
}

uint64_t FinishFakeRows(const FakeOutput& output, MatView<float> y, MatView<int8_t> codes) {
  const bool quantized = HasOutputCodes(output);
  const Quantizer quantizer = output.output.value_or(Quantizer());
  const DtypeRow dtype{output.flavour, kNoClip, InDtypeOf(output.flavour, quantizer.scale)};
  uint64_t saturated = 0;
  std::vector<Half> stored(quantized ? static_cast<size_t>(y.cols) : 0);
  std::vector<int8_t> unwanted(stored.size());
  for (int64_t r = 0; r < y.rows; ++r) {
    const std::span<float> row = y.row_span(r);
    for (size_t c = 0; c < row.size(); ++c) {
      if (!output.bias.empty()) row[c] += output.bias[c];
      row[c] = InDtypeOf(output.flavour, row[c]);
    }
    if (!quantized) continue;
    int8_t* code = codes.data == nullptr ? unwanted.data() : codes.row(r);
    if (IsVllmStatic(output.flavour)) {
      for (float& value : row) value = VllmOutput(dtype, value, code++, &saturated);
    } else {
      ToHalf(row, stored);
      saturated +=
          QuantizeOutputs(quantizer, {stored.data(), 1, y.cols, y.cols}, {code, 1, y.cols, y.cols});
      ToFloat(stored, row);
    }
  }
  return saturated;
}

}  // namespace w8a8
