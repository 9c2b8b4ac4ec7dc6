// Quantize, pack, multiply and dequantize as numerics.h defines them, one element after the other.
// Codes and weights are int8, row-major, without padding.
#include <algorithm>

#include "quant/numerics.h"
#include "runtime/cpu/int8_kernels.h"

namespace w8a8 {
namespace {

float FiniteAmax(const Half* x, int64_t cols) {
  float amax = 0.0f;
  for (int64_t c = 0; c < cols; ++c) {
    if (IsFinite(x[c])) amax = std::max(amax, Abs(ToFloat(x[c])));
  }
  return amax;
}

ActivationScale ScaleOfRow(const QuantizeRowsArgs& args, const Half* x) {
  if (args.static_scale != nullptr) return TensorScale(*args.static_scale);
  return TokenScale(FiniteAmax(x, args.cols), args.clip_range);
}

void CountRow(const Half* x, int64_t cols, float inv_scale, QuantizeCounts* counts) {
  for (int64_t c = 0; c < cols; ++c) {
    if (IsNan(x[c])) {
      ++counts->nan;
    } else if (!IsFinite(x[c])) {
      ++counts->inf;
    } else if (IsSaturated(ToFloat(x[c]), inv_scale)) {
      ++counts->saturated;
    }
  }
}

void QuantizeRows(const QuantizeRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    int8_t* codes = static_cast<int8_t*>(args.codes) + r * args.codes_stride;
    const ActivationScale scale = ScaleOfRow(args, x);
    args.scale[r] = scale.scale;
    int32_t sum = 0;
    for (int64_t c = 0; c < args.cols; ++c) {
      codes[c] = ActivationCode(ToFloat(x[c]), scale.inv_scale);
      sum += codes[c];
    }
    std::fill(codes + args.cols, codes + args.codes_stride, int8_t{0});
    if (args.code_sum != nullptr) args.code_sum[r] = sum;
    if (args.counts != nullptr) CountRow(x, args.cols, scale.inv_scale, args.counts);
  }
}

void Butterflies(float* v, int64_t size, int64_t h) {
  for (int64_t first = 0; first < size; first += 2 * h) {
    for (int64_t i = first; i < first + h; ++i) {
      const float sum = v[i] + v[i + h];
      v[i + h] = v[i] - v[i + h];
      v[i] = sum;
    }
  }
}

void MixBlocks(const TransformRowArgs& args) {
  for (int64_t i = 0; i < args.block; ++i) {
    float sum = args.row[i];
    for (int64_t at = i + args.block; at < args.cols; at += args.block) sum += args.row[at];
    for (int64_t at = i; at < args.cols; at += args.block) {
      args.row[at] = Fma(args.mix, sum, args.row[at]);
    }
  }
}

void TransformRow(const TransformRowArgs& args) {
  for (int64_t i = 0; i < args.cols; ++i) args.row[i] *= args.factors[i];
  if (args.block == 0) return;
  for (int64_t h = 1; h < args.block; h *= 2) Butterflies(args.row, args.cols, h);
  if (args.mix != 0.0f) MixBlocks(args);
  for (int64_t i = 0; i < args.cols; ++i) args.row[i] *= args.norm;
}

void FiniteRangeOf(const float* values, int64_t count, float* low, float* high) {
  *low = *high = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    if (!IsFiniteBits(values[i])) continue;
    *low = std::min(*low, values[i]);
    *high = std::max(*high, values[i]);
  }
}

int8_t CodeOf(float value, const EncodeArgs& args) {
  const float p = value * args.inv_scale;
  if (p != p) return static_cast<int8_t>(args.zero_point);
  const auto lowest = static_cast<float>(args.lowest);
  return static_cast<int8_t>(Clamp(UnclampedCode(p, args.zero_point), lowest, 127.0f));
}

int32_t Encode(const EncodeArgs& args) {
  auto* codes = static_cast<int8_t*>(args.codes);
  int32_t sum = 0;
  for (int64_t i = 0; i < args.count; ++i) {
    codes[i] = CodeOf(args.values[i], args);
    sum += codes[i];
  }
  std::fill(codes + args.count, codes + args.padded, int8_t{0});
  return sum;
}

void UnpackCodes(const UnpackCodesArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    std::copy_n(static_cast<const int8_t*>(args.codes) + r * args.codes_stride, args.cols,
                args.unpacked + r * args.unpacked_stride);
  }
}

int64_t PackedBytes(int64_t n, int64_t k) { return n * k; }

void PackWeights(const PackWeightsArgs& args) {
  std::copy_n(args.codes, args.n * args.k, static_cast<int8_t*>(args.packed));
}

int32_t DotProduct(const int8_t* x, const int8_t* w, int64_t k) {
  int32_t sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += x[i] * w[i];
  return sum;
}

void Store(const StoreArgs& to, int64_t at, float value) {
  switch (to.type) {
    case OutputType::kHalf:
      static_cast<Half*>(to.y)[at] = ToHalf(value);
      break;
    case OutputType::kBFloat16:
      static_cast<BFloat16*>(to.y)[at] = ToBFloat16(value);
      break;
    case OutputType::kFloat:
      static_cast<float*>(to.y)[at] = value;
      break;
  }
}

void QuantizeOutputs(const QuantizeOutputsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < args.cols; ++c) {
      Half& y = args.y[r * args.y_stride + c];
      const float value = ToFloat(y);
      const int8_t code = ActivationCode(value, args.inv_scale);
      if (args.codes != nullptr) args.codes[r * args.codes_stride + c] = code;
      if (args.saturated != nullptr && IsSaturated(value, args.inv_scale)) ++*args.saturated;
      y = ToHalf(OutputValue(code, args.scale));
      if (y.bits == kHalfSignBit) y = Half{};
    }
  }
}

// All of y [m, n] through its codes.
void ThroughCodes(const StoreArgs& to, int64_t m, int64_t n) {
  if (to.through == nullptr) return;
  QuantizeOutputsArgs args = *to.through;
  args.y = static_cast<Half*>(to.y);
  args.y_stride = to.y_stride;
  args.rows = m;
  args.cols = n;
  QuantizeOutputs(args);
}

void GemmS8(const GemmS8Args& args) {
  const auto* x = static_cast<const int8_t*>(args.x_codes);
  const auto* w = static_cast<const int8_t*>(args.packed_weight);
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      const int32_t acc = DotProduct(x + i * args.x_stride, w + j * args.k, args.k);
      if (args.to.acc != nullptr) args.to.acc[i * args.to.acc_stride + j] = acc;
      Store(args.to, i * args.to.y_stride + j,
            Dequantize(acc, args.scale_w[j], args.scale_x[i], args.bias[j]));
    }
  }
  ThroughCodes(args.to, args.m, args.n);
}

// ---- products by groups ----

// The inputs of one group: [begin, begin + count) of a row's codes.
struct GroupRange {
  int64_t begin, count;
};
GroupRange RangeOfGroup(const GroupedWeights& weight, int64_t group) {
  const int64_t begin = group * weight.group_stride;
  return {begin, std::min(weight.group_stride, weight.k - begin)};
}

// sum cx cw - z sum (cw - zp) - zp sum cx, whose parts may pass int32 where the whole does not.
int32_t GroupAcc(const GemmGroupsArgs& args, int64_t i, int64_t j, int64_t group) {
  const GroupedWeights& weight = *args.weight;
  const auto [begin, count] = RangeOfGroup(weight, group);
  const auto* x = static_cast<const int8_t*>(args.x_codes) + i * args.x_stride + begin;
  const auto* w = static_cast<const int8_t*>(weight.packed) + j * weight.k + begin;
  const int64_t at = group * weight.n + j;
  int64_t acc = DotProduct(x, w, count);
  if (args.zero_point_x != nullptr) acc -= int64_t{args.zero_point_x[i]} * weight.centred_sum[at];
  if (weight.zero_point != nullptr) {
    acc -= int64_t{weight.zero_point[at]} * args.code_sum_x[i * weight.groups + group];
  }
  return static_cast<int32_t>(acc);
}

float AddGroup(const GemmGroupsArgs& args, int64_t i, int64_t j, int64_t group, float acc,
               float total) {
  const GroupedWeights& weight = *args.weight;
  switch (args.scaled_by) {
    case ScaledBy::kWeights:
      return Fma(acc, weight.scale[group * weight.n + j], total);
    case ScaledBy::kInputs:
      return Fma(acc, args.scale_x[i * weight.groups + group], total);
    case ScaledBy::kBoth:
      break;
  }
  return Fma(acc * args.scale_x[i * weight.groups + group], weight.scale[group * weight.n + j],
             total);
}

float Finish(const GemmGroupsArgs& args, int64_t i, int64_t j, float total) {
  const float bias = args.weight->bias[j];
  switch (args.scaled_by) {
    case ScaledBy::kWeights:
      return Fma(total, args.scale_x[i], bias);
    case ScaledBy::kInputs:
      return Fma(total, args.weight->scale[j], bias);
    case ScaledBy::kBoth:
      break;
  }
  return total + bias;
}

void GemmGroups(const GemmGroupsArgs& args) {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.weight->n; ++j) {
      float total = 0.0f;
      for (int64_t g = 0; g < args.weight->groups; ++g) {
        const int32_t acc = GroupAcc(args, i, j, g);
        if (args.to.acc != nullptr) args.to.acc[(g * args.m + i) * args.to.acc_stride + j] = acc;
        total = AddGroup(args, i, j, g, static_cast<float>(acc), total);
      }
      Store(args.to, i * args.to.y_stride + j, Finish(args, i, j, total));
    }
  }
  ThroughCodes(args.to, args.m, args.weight->n);
}

// x [m, k] times one column of codes, k ascending, group by group.
float WeightOnly(const GroupedWeights& weight, const float* x, int64_t j) {
  float total = 0.0f;
  for (int64_t g = 0; g < weight.groups; ++g) {
    const auto [begin, count] = RangeOfGroup(weight, g);
    const int64_t at = g * weight.n + j;
    const int32_t zero_point = weight.zero_point == nullptr ? 0 : weight.zero_point[at];
    const auto* w = static_cast<const int8_t*>(weight.packed) + j * weight.k + begin;
    float acc = 0.0f;
    for (int64_t i = 0; i < count; ++i) {
      acc += x[begin + i] * static_cast<float>(w[i] - zero_point);  // an exact product: no fma
    }
    total = Fma(acc, weight.scale[at], total);
  }
  return total + weight.bias[j];
}

void GemmW8(const GemmW8Args& args) {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.weight->n; ++j) {
      Store(args.to, i * args.to.y_stride + j,
            WeightOnly(*args.weight, args.x + i * args.x_stride, j));
    }
  }
  ThroughCodes(args.to, args.m, args.weight->n);
}

}  // namespace

const Int8Kernels kScalarInt8Kernels = {
    .code_bytes = 1,
    .k_step = 1,
    .k_multiple = 1,
    .n_multiple = 1,
    .uses_column_sums = false,
    .begin_worker = nullptr,
    .end_worker = nullptr,
    .quantize_rows = QuantizeRows,
    .transform_row = TransformRow,
    .finite_range = FiniteRangeOf,
    .encode = Encode,
    .unpack_codes = UnpackCodes,
    .packed_bytes = PackedBytes,
    .pack_weights = PackWeights,
    .gemm_s8 = GemmS8,
    .gemm_groups = GemmGroups,
    .gemm_w8 = GemmW8,
    .quantize_outputs = QuantizeOutputs,
};

}  // namespace w8a8
