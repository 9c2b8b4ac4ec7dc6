#include "quant/weight_codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "quant/all_finite.h"
#include "quant/numerics.h"
#include "quant/spec.h"
#include "runtime/base/error.h"
#include "runtime/base/half.h"

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
    if (AllFinite(weight.row_span(r))) continue;
    for (int64_t c = 0; c < weight.cols; ++c) {
      if (std::isfinite(weight.row(r)[c])) continue;
      Fail("{}: weight[{}, {}] is {}; it must be finite. Repair the checkpoint.", name, r, c,
           weight.row(r)[c]);
    }
  }
}

void CheckScale(const std::string& name, std::span<const float> scale, int64_t count) {
  CheckCount(name, "weight_scale", scale.size(), count);
  for (size_t i = 0; i < scale.size(); ++i) {
    if (std::isfinite(scale[i]) && scale[i] > 0.0f) continue;
    Fail("{}: weight_scale[{}] is {}; it must be finite and > 0.", name, i, scale[i]);
  }
}

void CheckZeroPoints(const std::string& name, const WeightCodes& weight) {
  if (weight.zero_points.empty()) return;
  CheckCount(name, "weight_zero_point", weight.zero_points.size(),
             static_cast<int64_t>(weight.scale.values.size()));
  const int32_t lowest = -MaxCode(weight.bits) - 1, highest = MaxCode(weight.bits);
  for (size_t i = 0; i < weight.zero_points.size(); ++i) {
    const auto point = int32_t{weight.zero_points[i]};
    if (point >= lowest && point <= highest) continue;
    Fail("{}: weight_zero_point[{}] is {}, beyond the {} to {} of {} bits.", name, i, point, lowest,
         highest, weight.bits);
  }
}

// Every int8 is a code of 8 bits.
void CheckCodes(const std::string& name, const WeightCodes& weight) {
  if (weight.bits == kMaxWeightBits) return;
  const int32_t lowest = -MaxCode(weight.bits) - 1, highest = MaxCode(weight.bits);
  for (const int8_t code : weight.codes) {
    if (code >= lowest && code <= highest) continue;
    Fail("{}: the weight holds the code {}, beyond the {} to {} of {} bits.", name, code, lowest,
         highest, weight.bits);
  }
}

void CheckGranularity(const std::string& name, Granularity granularity, int64_t group_size) {
  if (granularity == Granularity::kToken) {
    Fail("{}: weights are {}; their scales are per-tensor, per-channel or per-group.", name,
         NameOf(granularity));
  }
  if (granularity != Granularity::kGroup || group_size >= 1) return;
  Fail("{}: the weights' group size is {}; it must be at least 1.", name, group_size);
}

void CheckBits(const std::string& name, int bits) {
  if (bits >= kMinWeightBits && bits <= kMaxWeightBits) return;
  Fail("{}: weights of {} bits; {} to {} are possible.", name, bits, kMinWeightBits,
       kMaxWeightBits);
}

// Of finite values: their magnitudes' patterns order like them, and integers may be compared in any
// order, several at once.
float RowAmax(std::span<const float> row) {
  int32_t largest = 0;
  for (const float value : row) {
    largest = std::max(largest, static_cast<int32_t>(FloatBits(Abs(value))));
  }
  return FloatFromBits(static_cast<uint32_t>(largest));
}

// Scales of the granularity for `k` inputs; what has one group a row is per-channel.
Scales EmptyScales(const WeightSpec& spec, int64_t k) {
  if (spec.granularity == Granularity::kGroup && spec.group_size < k) {
    return {.granularity = Granularity::kGroup, .group_size = spec.group_size};
  }
  const bool tensor = spec.granularity == Granularity::kTensor;
  return {.granularity = tensor ? Granularity::kTensor : Granularity::kChannel};
}

// The part of row r that is group g.
std::span<const float> GroupOf(MatView<const float> weight, int64_t r, int64_t g, int64_t group) {
  const int64_t first = g * group;
  return weight.row_span(r).subspan(static_cast<size_t>(first),
                                    static_cast<size_t>(std::min(group, weight.cols - first)));
}

int64_t ScaleCount(const Scales& scale, int64_t n, int64_t k) {
  return scale.granularity == Granularity::kTensor ? 1 : n * scale.GroupsOf(k);
}

// One magnitude for each scale of `scale`.
std::vector<float> AmaxOf(MatView<const float> weight, const Scales& scale) {
  std::vector<float> amax;
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t g = 0; g < scale.GroupsOf(weight.cols); ++g) {
      amax.push_back(RowAmax(GroupOf(weight, r, g, scale.GroupOf(weight.cols))));
    }
  }
  if (scale.granularity == Granularity::kTensor) return {RowAmax(amax)};
  return amax;
}

// The nearest value of the dtype, as binary32: the arithmetic of vLLM's convention. 24 bits are
// enough for innocuous double rounding of a quotient of two such values.
float RoundedTo(Dtype dtype, float value) {
  if (dtype == Dtype::kF16) return ToFloat(ToHalf(value));
  if (dtype == Dtype::kBF16) return ToFloat(ToBFloat16(value));
  return value;
}

float VllmScale(float amax, Dtype stored) {
  const float scale = RoundedTo(stored, amax / 127.0f);
  return scale == 0.0f ? 1.0f : scale;
}

int8_t VllmCode(float value, float scale, Dtype stored) {
  return static_cast<int8_t>(RoundToEven(Clamp(RoundedTo(stored, value / scale), -127.0f, 127.0f)));
}

// Codes of checked weights under checked scales; code(value, scale) makes one. It is taken by
// value: codes are bytes, which might alias what is behind a reference, and then no two are made at
// once.
template <class CodeOf>
WeightCodes CodesOf(MatView<const float> weight, Scales scale, int bits, CodeOf code) {
  WeightCodes made{.n = weight.rows, .k = weight.cols, .bits = bits, .scale = std::move(scale)};
  made.codes.resize(static_cast<size_t>(made.n * made.k));
  int8_t* to = made.codes.data();
  for (int64_t r = 0; r < made.n; ++r) {
    int32_t sum = 0;
    for (int64_t g = 0; g < made.groups(); ++g) {
      const float group_scale = made.ScaleOf(r, g);
      const std::span<const float> from = GroupOf(weight, r, g, made.group());
      for (size_t i = 0; i < from.size(); ++i) {
        const int8_t made_code = code(from[i], group_scale);
        to[i] = made_code;
        sum += made_code;
      }
      to += from.size();
    }
    made.code_sum.push_back(sum);
  }
  return made;
}

WeightCodes NativeCodes(MatView<const float> weight, Scales scale, int bits) {
  return CodesOf(weight, std::move(scale), bits,
                 [max = MaxCode(bits)](float value, float s) { return WeightCode(value, s, max); });
}

void RequireMadeHere(const std::string& name, const WeightSpec& spec) {
  if (spec.symmetric) return;
  Fail(
      "{}: the plan asks for weights with zero points, which are read from files and never made "
      "here. Plan symmetric weights, or take the folder that has them.",
      name);
}

}  // namespace

std::vector<float> WeightCodes::RealValues() const {
  std::vector<float> values(codes.size());
  for (int64_t r = 0; r < n; ++r) {
    const int8_t* code = codes.data() + r * k;
    float* value = values.data() + r * k;
    for (int64_t g = 0; g < groups(); ++g) {
      const float group_scale = ScaleOf(r, g);
      const int32_t zero_point = ZeroPointOf(r, g);
      const int64_t end = std::min(k, (g + 1) * group());
      for (int64_t c = g * group(); c < end; ++c) {
        value[c] = static_cast<float>(code[c] - zero_point) * group_scale;
      }
    }
  }
  return values;
}

void CheckWeightSpec(const std::string& name, const WeightSpec& spec) {
  CheckGranularity(name, spec.granularity, spec.group_size);
  CheckBits(name, spec.num_bits);
  if (!spec.symmetric && spec.granularity == Granularity::kTensor) {
    Fail("{}: zero points go with one scale per output row or group, not with one for all.", name);
  }
  if (spec.convention == WeightConvention::kNative) return;
  if (spec.num_bits == 8 && spec.granularity == Granularity::kChannel && spec.symmetric) return;
  Fail(
      "{}: the weight convention {} is that of 8-bit symmetric weights with one scale per output "
      "row.",
      name, NameOf(spec.convention));
}

void CheckWeights(const std::string& name, MatView<const float> weight, const WeightSpec& spec) {
  CheckWeightSpec(name, spec);
  CheckShape(name, weight.rows, weight.cols);
  CheckFinite(name, weight);
}

WeightCodes QuantizeWeights(const std::string& name, MatView<const float> weight,
                            const WeightSpec& spec, Dtype stored) {
  CheckWeights(name, weight, spec);
  RequireMadeHere(name, spec);
  Scales scale = EmptyScales(spec, weight.cols);
  const bool vllm = spec.convention == WeightConvention::kVllm;
  for (const float amax : AmaxOf(weight, scale)) {
    scale.values.push_back(vllm ? VllmScale(amax, stored)
                                : WeightScale(amax, MaxCode(spec.num_bits)));
  }
  if (!vllm) return NativeCodes(weight, std::move(scale), spec.num_bits);
  return CodesOf(weight, std::move(scale), spec.num_bits,
                 [stored](float value, float s) { return VllmCode(value, s, stored); });
}

WeightCodes QuantizeWeightsBy(const std::string& name, MatView<const float> weight,
                              std::vector<float> scale, const WeightSpec& spec) {
  CheckWeights(name, weight, spec);
  RequireMadeHere(name, spec);
  Scales given = EmptyScales(spec, weight.cols);
  given.values = std::move(scale);
  CheckScale(name, given.values, ScaleCount(given, weight.rows, weight.cols));
  return NativeCodes(weight, std::move(given), spec.num_bits);
}

void FinishCodes(const std::string& name, WeightCodes& weight) {
  CheckWeightSpec(name, weight.Spec());
  CheckShape(name, weight.n, weight.k);
  if (weight.scale.granularity == Granularity::kGroup && weight.scale.group_size >= weight.k) {
    weight.scale.granularity = Granularity::kChannel;
    weight.scale.group_size = 0;
  }
  CheckCount(name, "the weight", weight.codes.size(), weight.n * weight.k);
  CheckScale(name, weight.scale.values, ScaleCount(weight.scale, weight.n, weight.k));
  CheckZeroPoints(name, weight);
  CheckCodes(name, weight);
  weight.code_sum.clear();
  for (int64_t r = 0; r < weight.n; ++r) {
    weight.code_sum.push_back(
        std::accumulate(weight.row(r).begin(), weight.row(r).end(), int32_t{0}));
  }
}

}  // namespace w8a8
