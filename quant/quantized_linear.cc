#include "quant/quantized_linear.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

void CheckShape(const std::string& name, int64_t n, int64_t k) {
  if (n < 1 || k < 1) Fail("{}: the weight is [{}, {}]; both must be at least 1.", name, n, k);
  if (k > kMaxInputs) {
    Fail("{}: K = {} inputs; beyond {} the INT32 sums could overflow. Leave this layer in FP16.",
         name, k, kMaxInputs);
  }
}

void CheckCount(const std::string& name, const char* tensor, size_t actual, int64_t expected) {
  if (actual == static_cast<size_t>(expected)) return;
  Fail("{}: {} holds {} values; the weight's shape demands {}.", name, tensor, actual, expected);
}

void CheckWeightFinite(const std::string& name, MatView<const float> weight) {
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t c = 0; c < weight.cols; ++c) {
      if (std::isfinite(weight.row(r)[c])) continue;
      Fail("{}: weight[{}, {}] is {}; it must be finite. Repair the checkpoint.", name, r, c,
           weight.row(r)[c]);
    }
  }
}

void CheckBias(const std::string& name, std::span<const float> bias, int64_t n) {
  if (bias.empty()) return;
  CheckCount(name, "bias", bias.size(), n);
  for (size_t i = 0; i < bias.size(); ++i) {
    if (std::isfinite(bias[i])) continue;
    Fail("{}: bias[{}] is {}; it must be finite. Repair the checkpoint.", name, i, bias[i]);
  }
}

void CheckScale(const std::string& name, std::span<const float> scale, int64_t n) {
  CheckCount(name, "weight_scale", scale.size(), n);
  for (size_t i = 0; i < scale.size(); ++i) {
    if (std::isfinite(scale[i]) && scale[i] > 0.0f) continue;
    Fail("{}: weight_scale[{}] is {}; it must be finite and > 0.", name, i, scale[i]);
  }
}

float RowAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) amax = std::max(amax, Abs(value));
  return amax;
}

std::vector<float> CopyOf(std::span<const float> values) { return {values.begin(), values.end()}; }

// Codes of checked weights under checked scales.
QuantizedLinear Quantize(std::string name, MatView<const float> weight,
                         std::vector<float> weight_scale, std::vector<float> bias) {
  QuantizedLinear linear{.name = std::move(name),
                         .n = weight.rows,
                         .k = weight.cols,
                         .weight_codes = {},
                         .weight_scale = std::move(weight_scale),
                         .weight_code_sum = {},
                         .bias = std::move(bias),
                         .input_scale = std::nullopt};
  linear.weight_codes.reserve(static_cast<size_t>(linear.n * linear.k));
  for (int64_t r = 0; r < linear.n; ++r) {
    const float scale = linear.weight_scale[static_cast<size_t>(r)];
    for (const float value : weight.row_span(r)) {
      linear.weight_codes.push_back(WeightCode(value, scale));
    }
  }
  linear.Finish();
  return linear;
}

std::vector<float> ConcatenateBiases(std::span<const MatView<const float>> parts,
                                     std::span<const std::span<const float>> biases,
                                     const std::string& name) {
  if (std::ranges::all_of(biases, [](const auto& bias) { return bias.empty(); })) return {};
  std::vector<float> joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    CheckBias(name, biases[i], parts[i].rows);
    joined.insert(joined.end(), biases[i].begin(), biases[i].end());
    if (biases[i].empty()) joined.resize(joined.size() + static_cast<size_t>(parts[i].rows), 0.0f);
  }
  return joined;
}

}  // namespace

void CheckWeights(const std::string& name, MatView<const float> weight) {
  CheckShape(name, weight.rows, weight.cols);
  CheckWeightFinite(name, weight);
}

QuantizedLinear QuantizedLinear::FromLinear(std::string name, MatView<const float> weight,
                                            std::span<const float> bias) {
  CheckWeights(name, weight);
  std::vector<float> scale;
  for (int64_t r = 0; r < weight.rows; ++r) {
    scale.push_back(WeightScale(RowAmax(weight.row_span(r))));
  }
  return Quantize(std::move(name), weight, std::move(scale), CopyOf(bias));
}

QuantizedLinear QuantizedLinear::FromLinearWithScales(std::string name, MatView<const float> weight,
                                                      std::span<const float> weight_scale,
                                                      std::span<const float> bias) {
  CheckWeights(name, weight);
  CheckScale(name, weight_scale, weight.rows);
  return Quantize(std::move(name), weight, CopyOf(weight_scale), CopyOf(bias));
}

QuantizedLinear QuantizedLinear::FromQkv(std::string name, MatView<const float> q,
                                         MatView<const float> k, MatView<const float> v,
                                         std::span<const float> q_bias,
                                         std::span<const float> k_bias,
                                         std::span<const float> v_bias) {
  if (q.cols != k.cols || q.cols != v.cols) {
    Fail("{}: q, k and v have {}, {} and {} inputs; one fused layer needs equal counts.", name,
         q.cols, k.cols, v.cols);
  }
  const MatView<const float> parts[] = {q, k, v};
  const std::span<const float> biases[] = {q_bias, k_bias, v_bias};
  const std::vector<float> bias = ConcatenateBiases(parts, biases, name);
  std::vector<float> rows;
  for (const MatView<const float>& part : parts) {
    for (int64_t r = 0; r < part.rows; ++r) {
      rows.insert(rows.end(), part.row(r), part.row(r) + part.cols);
    }
  }
  const int64_t n = q.rows + k.rows + v.rows;
  return FromLinear(std::move(name), {rows.data(), n, q.cols, q.cols}, bias);
}

QuantizedLinear QuantizedLinear::FromCodes(std::string name, int64_t n, int64_t k,
                                           std::vector<int8_t> weight_codes,
                                           std::vector<float> weight_scale,
                                           std::vector<float> bias) {
  QuantizedLinear linear{.name = std::move(name),
                         .n = n,
                         .k = k,
                         .weight_codes = std::move(weight_codes),
                         .weight_scale = std::move(weight_scale),
                         .weight_code_sum = {},
                         .bias = std::move(bias),
                         .input_scale = std::nullopt};
  linear.Finish();
  return linear;
}

QuantizedLinear QuantizedLinear::Empty(std::string name, int64_t n, int64_t k, bool with_bias) {
  CheckShape(name, n, k);
  const auto outputs = static_cast<size_t>(n);
  return FromCodes(std::move(name), n, k, std::vector<int8_t>(static_cast<size_t>(n * k)),
                   std::vector<float>(outputs, 1.0f),
                   with_bias ? std::vector<float>(outputs) : std::vector<float>());
}

void QuantizedLinear::Finish() {
  CheckShape(name, n, k);
  CheckCount(name, "the weight", weight_codes.size(), n * k);
  CheckScale(name, weight_scale, n);
  CheckBias(name, bias, n);
  if (input_scale &&
      !(std::isfinite(*input_scale) && *input_scale > 0.0f && std::isfinite(1.0f / *input_scale))) {
    Fail("{}: input_scale is {}; it and its reciprocal must be finite and > 0.", name,
         *input_scale);
  }
  weight_code_sum.resize(static_cast<size_t>(n));
  for (int64_t r = 0; r < n; ++r) {
    const auto row = weight_codes.begin() + r * k;
    weight_code_sum[static_cast<size_t>(r)] = std::accumulate(row, row + k, int32_t{0});
  }
}

}  // namespace w8a8
