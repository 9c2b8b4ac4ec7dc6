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

void Store(const GemmS8Args& args, int64_t at, float value) {
  switch (args.output_type) {
    case OutputType::kHalf:
      static_cast<Half*>(args.y)[at] = ToHalf(value);
      break;
    case OutputType::kBFloat16:
      static_cast<BFloat16*>(args.y)[at] = ToBFloat16(value);
      break;
    case OutputType::kFloat:
      static_cast<float*>(args.y)[at] = value;
      break;
  }
}

void GemmS8(const GemmS8Args& args) {
  const auto* x = static_cast<const int8_t*>(args.x_codes);
  const auto* w = static_cast<const int8_t*>(args.packed_weight);
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      const int32_t acc = DotProduct(x + i * args.x_stride, w + j * args.k, args.k);
      if (args.acc != nullptr) args.acc[i * args.acc_stride + j] = acc;
      Store(args, i * args.y_stride + j,
            Dequantize(acc, args.scale_w[j], args.scale_x[i], args.bias[j]));
    }
  }
}

}  // namespace

const Int8Kernels kScalarInt8Kernels = {
    .code_bytes = 1,
    .k_multiple = 1,
    .n_multiple = 1,
    .uses_column_sums = false,
    .begin_worker = nullptr,
    .end_worker = nullptr,
    .quantize_rows = QuantizeRows,
    .unpack_codes = UnpackCodes,
    .packed_bytes = PackedBytes,
    .pack_weights = PackWeights,
    .gemm_s8 = GemmS8,
};

}  // namespace w8a8
