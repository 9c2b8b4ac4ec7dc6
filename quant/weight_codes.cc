#include "quant/weight_codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "quant/numerics.h"
#include "quant/spec.h"
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

void CheckFinite(const std::string& name, MatView<const float> weight) {
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t c = 0; c < weight.cols; ++c) {
      if (std::isfinite(weight.row(r)[c])) continue;
      Fail("{}: weight[{}, {}] is {}; it must be finite. Repair the checkpoint.", name, r, c,
           weight.row(r)[c]);
    }
  }
}

void CheckScale(const std::string& name, std::span<const float> scale, int64_t n) {
  CheckCount(name, "weight_scale", scale.size(), n);
  for (size_t i = 0; i < scale.size(); ++i) {
    if (std::isfinite(scale[i]) && scale[i] > 0.0f) continue;
    Fail("{}: weight_scale[{}] is {}; it must be finite and > 0.", name, i, scale[i]);
  }
}

void CheckPerChannel(const std::string& name, Granularity granularity) {
  if (granularity == Granularity::kChannel) return;
  Fail("{}: weights are {}; this version has one scale per output row (per-channel).", name,
       NameOf(granularity));
}

void CheckBits(const std::string& name, int bits) {
  if (bits >= kMinWeightBits && bits <= kMaxWeightBits) return;
  Fail("{}: weights of {} bits; {} to {} are possible.", name, bits, kMinWeightBits,
       kMaxWeightBits);
}

float RowAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) amax = std::max(amax, Abs(value));
  return amax;
}

// Codes of checked weights under checked scales.
WeightCodes CodesOf(MatView<const float> weight, std::vector<float> scale, int bits) {
  WeightCodes made{
      .n = weight.rows, .k = weight.cols, .bits = bits, .scale = {.values = std::move(scale)}};
  made.codes.reserve(static_cast<size_t>(made.n * made.k));
  for (int64_t r = 0; r < made.n; ++r) {
    const float row_scale = made.scale.values[static_cast<size_t>(r)];
    int32_t sum = 0;
    for (const float value : weight.row_span(r)) {
      made.codes.push_back(WeightCode(value, row_scale, MaxCode(bits)));
      sum += made.codes.back();
    }
    made.code_sum.push_back(sum);
  }
  return made;
}

}  // namespace

std::vector<float> WeightCodes::RealValues() const {
  std::vector<float> values;
  values.reserve(codes.size());
  for (int64_t r = 0; r < n; ++r) {
    const float row_scale = scale.values[static_cast<size_t>(r)];
    for (const int8_t code : row(r)) values.push_back(static_cast<float>(code) * row_scale);
  }
  return values;
}

void CheckWeights(const std::string& name, MatView<const float> weight, const WeightSpec& spec) {
  CheckPerChannel(name, spec.granularity);
  CheckBits(name, spec.num_bits);
  CheckShape(name, weight.rows, weight.cols);
  CheckFinite(name, weight);
}

WeightCodes QuantizeWeights(const std::string& name, MatView<const float> weight,
                            const WeightSpec& spec) {
  CheckWeights(name, weight, spec);
  std::vector<float> scale;
  for (int64_t r = 0; r < weight.rows; ++r) {
    scale.push_back(WeightScale(RowAmax(weight.row_span(r)), MaxCode(spec.num_bits)));
  }
  return CodesOf(weight, std::move(scale), spec.num_bits);
}

WeightCodes QuantizeWeightsBy(const std::string& name, MatView<const float> weight,
                              std::vector<float> scale, const WeightSpec& spec) {
  CheckWeights(name, weight, spec);
  CheckScale(name, scale, weight.rows);
  return CodesOf(weight, std::move(scale), spec.num_bits);
}

void FinishCodes(const std::string& name, WeightCodes& weight) {
  CheckPerChannel(name, weight.scale.granularity);
  CheckBits(name, weight.bits);
  CheckShape(name, weight.n, weight.k);
  CheckCount(name, "the weight", weight.codes.size(), weight.n * weight.k);
  CheckScale(name, weight.scale.values, weight.n);
  if (!weight.zero_points.empty()) {
    Fail("{}: weights have zero points; this version has symmetric weights only.", name);
  }
  const int32_t lowest = -MaxCode(weight.bits) - 1, highest = MaxCode(weight.bits);
  weight.code_sum.clear();
  for (int64_t r = 0; r < weight.n; ++r) {
    for (const int8_t code : weight.row(r)) {
      if (code >= lowest && code <= highest) continue;
      Fail("{}: the weight holds the code {}, beyond the {} to {} of {} bits.", name, code, lowest,
           highest, weight.bits);
    }
    weight.code_sum.push_back(
        std::accumulate(weight.row(r).begin(), weight.row(r).end(), int32_t{0}));
  }
}

}  // namespace w8a8
