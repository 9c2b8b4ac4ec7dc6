// Quantize, pack, multiply and dequantize, written for the reader and for the auto-vectorizer.
#include <algorithm>
#include <bit>
#include <cstdint>

#include "quant/numerics.h"
#include "runtime/cpu/kernels_scalar.h"

namespace w8a8::scalar {
namespace {

constexpr int64_t kBlock = 256;  // elements converted at a time, on the stack

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Comparisons on bits instead of on floats let the loops below vectorize: a comparison of floats
// may trap, so the compiler keeps it conditional. Above infinity stand the NaNs.
constexpr int32_t kInfinityBits = 0x7f800000;
constexpr int32_t kLimitBits = 0x42fe0000;      // 127
constexpr int32_t kSaturatedBits = 0x42ff0000;  // 127.5

// The pattern without its sign orders finite FP16 values by magnitude.
W8A8_ALWAYS_INLINE float FiniteAmax(const Half* x, int64_t cols) {
  int16_t amax = 0;
  for (int64_t c = 0; c < cols; ++c) {
    const auto magnitude = static_cast<int16_t>(x[c].bits & 0x7fff);
    const auto finite = static_cast<int16_t>(magnitude < 0x7c00 ? magnitude : 0);
    amax = finite > amax ? finite : amax;
  }
  return ToFloat(Half{static_cast<uint16_t>(amax)});
}

W8A8_ALWAYS_INLINE void CountBlock(const Half* x, const float* values, int64_t count,
                                   float inv_scale, QuantizeCounts* counts) {
  int32_t nan = 0, inf = 0, saturated = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t magnitude = x[i].bits & 0x7fff;
    nan += magnitude > 0x7c00 ? 1 : 0;
    inf += magnitude == 0x7c00 ? 1 : 0;
    const auto product = static_cast<int32_t>(FloatBits(values[i] * inv_scale) & 0x7fffffffu);
    const bool outside = product >= kSaturatedBits && product <= kInfinityBits;
    saturated += (magnitude < 0x7c00) & outside ? 1 : 0;
  }
  counts->nan += static_cast<uint64_t>(nan);
  counts->inf += static_cast<uint64_t>(inf);
  counts->saturated += static_cast<uint64_t>(saturated);
}

// ActivationCode on bits; the low bits of the shifted float are the code. Returns the sum of the
// codes.
W8A8_ALWAYS_INLINE int32_t QuantizeBlock(const float* values, int64_t count, float inv_scale,
                                         int16_t* codes) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t p = FloatBits(values[i] * inv_scale);
    const auto magnitude = static_cast<int32_t>(p & 0x7fffffffu);
    const int32_t clamped = magnitude < kLimitBits ? magnitude : kLimitBits;
    const auto number = static_cast<uint32_t>(magnitude > kInfinityBits ? 0 : clamped);
    const float rounded = FloatFromBits(number | (p & 0x80000000u)) + 0x1.8p23f;
    const auto code = static_cast<int16_t>(FloatBits(rounded) & 0xffffu);
    codes[i] = code;
    sum += code;
  }
  return sum;
}

W8A8_ALWAYS_INLINE void QuantizeRowsBody(const QuantizeRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    int16_t* codes = static_cast<int16_t*>(args.codes) + r * args.codes_stride;
    const ActivationScale scale = args.static_scale > 0.0f
                                      ? TensorScale(args.static_scale)
                                      : TokenScale(FiniteAmax(x, args.cols), args.clip_range);
    args.scale[r] = scale.scale;
    int32_t sum = 0;
    for (int64_t begin = 0; begin < args.cols; begin += kBlock) {
      const int64_t count = std::min(kBlock, args.cols - begin);
      float values[kBlock];
      FloatFromHalf(x + begin, values, count);
      sum += QuantizeBlock(values, count, scale.inv_scale, codes + begin);
      if (args.counts != nullptr) {
        CountBlock(x + begin, values, count, scale.inv_scale, args.counts);
      }
    }
    std::fill(codes + args.cols, codes + args.codes_stride, int16_t{0});
    if (args.code_sum != nullptr) args.code_sum[r] = sum;
  }
}

// acc[m][n] for M rows of x and 4 rows of w, all of `k` codes. Two 16-bit products are added in
// int32, which is one instruction of every x86 vector unit.
template <int M>
W8A8_ALWAYS_INLINE void MultiplyTile(const int16_t* x, int64_t x_stride, const int16_t* w,
                                     int64_t k, int32_t* acc, int64_t acc_stride) {
  int32_t sum[M][4] = {};
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t m = 0; m < M; ++m) {
      for (int64_t n = 0; n < 4; ++n) sum[m][n] += int32_t{x[m * x_stride + i]} * w[n * k + i];
    }
  }
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < 4; ++n) acc[m * acc_stride + n] = sum[m][n];
  }
}

// Columns [begin, begin + count) of row r of y, from their accumulators.
W8A8_ALWAYS_INLINE void StoreRow(const GemmS8Args& args, const int32_t* acc, int64_t r,
                                 int64_t begin, int64_t count) {
  if (args.acc != nullptr) std::copy_n(acc, count, args.acc + r * args.acc_stride + begin);
  float values[kBlock];
  for (int64_t i = 0; i < count; ++i) {
    values[i] = Dequantize(acc[i], args.scale_w[begin + i], args.scale_x[r], args.bias[begin + i]);
  }
  const int64_t at = r * args.y_stride + begin;
  switch (args.output_type) {
    case OutputType::kHalf:
      HalfFromFloat(values, static_cast<Half*>(args.y) + at, count);
      break;
    case OutputType::kBFloat16:
      for (int64_t i = 0; i < count; ++i) {
        static_cast<BFloat16*>(args.y)[at + i] = ToBFloat16(values[i]);
      }
      break;
    case OutputType::kFloat:
      std::copy_n(values, count, static_cast<float*>(args.y) + at);
      break;
  }
}

// A block of columns whose weights stay in the first-level cache meets all rows of x.
W8A8_ALWAYS_INLINE void GemmS8Body(const GemmS8Args& args) {
  const int64_t k = RoundUp(args.k, kKMultiple);
  const int64_t block = std::clamp(int64_t{12288} / k / 16 * 16, int64_t{16}, kBlock);
  const auto* x = static_cast<const int16_t*>(args.x_codes);
  const auto* w = static_cast<const int16_t*>(args.packed_weight);
  for (int64_t begin = 0; begin < args.n; begin += block) {
    const int64_t count = std::min(block, args.n - begin);
    for (int64_t r = 0; r < args.m; r += 2) {
      int32_t acc[2 * kBlock];
      const int16_t* rows = x + r * args.x_stride;
      for (int64_t c = 0; c < count; c += kNMultiple) {
        const int16_t* columns = w + (begin + c) * k;
        if (r + 1 < args.m) {
          MultiplyTile<2>(rows, args.x_stride, columns, k, acc + c, kBlock);
        } else {
          MultiplyTile<1>(rows, args.x_stride, columns, k, acc + c, kBlock);
        }
      }
      StoreRow(args, acc, r, begin, count);
      if (r + 1 < args.m) StoreRow(args, acc + kBlock, r + 1, begin, count);
    }
  }
}

}  // namespace

W8A8_TWO_CLONES(QuantizeRows, QuantizeRowsArgs)
W8A8_TWO_CLONES(GemmS8, GemmS8Args)

void UnpackCodes(const UnpackCodesArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const int16_t* codes = static_cast<const int16_t*>(args.codes) + r * args.codes_stride;
    int8_t* unpacked = args.unpacked + r * args.unpacked_stride;
    for (int64_t c = 0; c < args.cols; ++c) unpacked[c] = static_cast<int8_t>(codes[c]);
  }
}

int64_t PackedBytes(int64_t n, int64_t k) {
  return RoundUp(n, kNMultiple) * RoundUp(k, kKMultiple) * kCodeBytes;
}

// Row-major int16, both dimensions padded with zeros.
void PackWeights(const PackWeightsArgs& args) {
  const int64_t stride = RoundUp(args.k, kKMultiple);
  for (int64_t r = 0; r < args.n; ++r) {
    std::copy_n(args.codes + r * args.k, args.k, static_cast<int16_t*>(args.packed) + r * stride);
  }
}

}  // namespace w8a8::scalar
