#include "quant/quantized_linear.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

QuantizedLinear WithBias(std::string name, WeightCodes weight, std::span<const float> bias) {
  CheckBias(name, bias, weight.n);
  return {std::move(name), std::move(weight), {bias.begin(), bias.end()}};
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

void CheckBias(const std::string& name, std::span<const float> bias, int64_t n) {
  if (bias.empty()) return;
  if (bias.size() != static_cast<size_t>(n)) {
    Fail("{}: bias holds {} values; the weight's shape demands {}.", name, bias.size(), n);
  }
  for (size_t i = 0; i < bias.size(); ++i) {
    if (std::isfinite(bias[i])) continue;
    Fail("{}: bias[{}] is {}; it must be finite. Repair the checkpoint.", name, i, bias[i]);
  }
}

QuantizedLinear QuantizedLinear::FromLinear(std::string name, MatView<const float> weight,
                                            std::span<const float> bias) {
  WeightCodes codes = QuantizeWeights(name, weight);
  return WithBias(std::move(name), std::move(codes), bias);
}

QuantizedLinear QuantizedLinear::FromLinearWithScales(std::string name, MatView<const float> weight,
                                                      std::span<const float> weight_scale,
                                                      std::span<const float> bias) {
  WeightCodes codes = QuantizeWeightsBy(name, weight, {weight_scale.begin(), weight_scale.end()});
  return WithBias(std::move(name), std::move(codes), bias);
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
                                           std::vector<int8_t> codes, std::vector<float> scale,
                                           std::vector<float> bias) {
  QuantizedLinear linear{
      .name = std::move(name),
      .weight = {.n = n, .k = k, .codes = std::move(codes), .scale = {.values = std::move(scale)}},
      .bias = std::move(bias)};
  linear.Finish();
  return linear;
}

QuantizedLinear QuantizedLinear::Empty(std::string name, int64_t n, int64_t k) {
  const auto outputs = static_cast<size_t>(std::max<int64_t>(n, 0));
  const auto inputs = static_cast<size_t>(std::max<int64_t>(k, 0));
  return FromCodes(std::move(name), n, k, std::vector<int8_t>(outputs * inputs),
                   std::vector<float>(outputs, 1.0f), std::vector<float>(outputs));
}

void QuantizedLinear::Finish() {
  FinishCodes(name, weight);
  CheckBias(name, bias, weight.n);
}

}  // namespace w8a8
