// The scalar arithmetic of the project: rounding, codes, scales, dequantize, residual and the
// activation functions. Every kernel on every device is judged against these functions, bit for
// bit. Host and device; binary32 without contraction, an FMA only where Fma() stands, no libm.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/function_fits.h"

namespace w8a8 {

constexpr int32_t kMaxCode = 127;
// Codes that are read may be any int8; -128 is never made by a symmetric quantizer of ours.
constexpr int32_t kLowestInt8 = -128;
constexpr size_t kInt8Values = 256;
// Keeps sum_k code_x * code_w inside int32 with -128 legal on both sides: 131,071 * 2^14 < 2^31.
constexpr int64_t kMaxInputs = 131071;
// The same with any zero point: 255 * 255 * 33,025 < 2^31.
constexpr int64_t kMaxInputsWithZeroPoints = 33025;
// Below this, amax / 127 is subnormal: such a row of weights gets scale 1 and codes 0.
constexpr float kMinWeightScale = 0x1p-126f;

W8A8_HOST_DEVICE inline float Fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

W8A8_HOST_DEVICE inline uint32_t FloatBits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  return std::bit_cast<uint32_t>(value);
#endif
}

W8A8_HOST_DEVICE inline float FloatFromBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

// The limits come first in each comparison so that a NaN passes through.
W8A8_HOST_DEVICE inline float Clamp(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

W8A8_HOST_DEVICE inline float Abs(float value) {
  return FloatFromBits(FloatBits(value) & 0x7fffffffu);
}

// To the nearest integer, ties to even, for |value| <= 2^22 (infinity and NaN pass through): adding
// 1.5 * 2^23 leaves no fraction bits.
W8A8_HOST_DEVICE inline float RoundToEven(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }

// ---- weights ----

// `amax` >= 0 is the largest magnitude of one output row; max_code = 2^(bits - 1) - 1.
W8A8_HOST_DEVICE inline float WeightScale(float amax, int32_t max_code = kMaxCode) {
  const float scale = amax / static_cast<float>(max_code);
  return scale < kMinWeightScale ? 1.0f : scale;
}

// `value` finite, scale > 0. A row whose scale was set to 1 for being tiny gets codes 0.
W8A8_HOST_DEVICE inline int8_t WeightCode(float value, float scale, int32_t max_code = kMaxCode) {
  const float limit = static_cast<float>(max_code);
  return static_cast<int8_t>(RoundToEven(Clamp(value / scale, -limit, limit)));
}

// ---- activations ----

struct ActivationScale {
  float scale;      // real = scale * (code - zero_point)
  float inv_scale;  // what the quantizer multiplies by
  int32_t zero_point = 0;
};

// Of the finite values of a row (of a row's group): min(0, smallest) and max(0, largest).
struct FiniteRange {
  float low = 0.0f;
  float high = 0.0f;
};

W8A8_HOST_DEVICE inline float Amax(FiniteRange range) {
  return -range.low > range.high ? -range.low : range.high;
}

W8A8_HOST_DEVICE inline bool IsFiniteBits(float value) {
  return (FloatBits(value) & 0x7f800000u) != 0x7f800000u;
}

// Per-token: `amax` is the largest finite magnitude of the row, R > 0 or infinity. A row whose
// 127 / a is not finite is a zero row; FP16 rows have none (a >= 2^-24), transformed ones may.
W8A8_HOST_DEVICE inline ActivationScale TokenScale(float amax, float clip_range) {
  const float a = amax < clip_range ? amax : clip_range;
  const float inv_scale = 127.0f / a;
  if (!(a > 0.0f) || !IsFiniteBits(inv_scale)) return {0.0f, 0.0f};
  return {a / 127.0f, inv_scale};
}

// Per-token with a zero point: codes -128 to 127 for [low, high], both clipped to +-R.
W8A8_HOST_DEVICE inline ActivationScale AsymmetricTokenScale(FiniteRange range, float clip_range) {
  const float low = range.low < -clip_range ? -clip_range : range.low;
  const float high = range.high > clip_range ? clip_range : range.high;
  const float width = high - low;
  const float inv_scale = 255.0f / width;
  if (!(width > 0.0f) || !IsFiniteBits(width) || !IsFiniteBits(inv_scale)) return {0.0f, 0.0f};
  const float zero_point = RoundToEven(-128.0f - low * inv_scale);
  return {width / 255.0f, inv_scale, static_cast<int32_t>(Clamp(zero_point, -128.0f, 127.0f))};
}

// Per-tensor: `scale` and its reciprocal finite and > 0.
W8A8_HOST_DEVICE inline ActivationScale TensorScale(float scale) { return {scale, 1.0f / scale}; }

// Nearest code, ties to even. Multiplying by the reciprocal is part of the definition: for scale
// 0.001f and x 0.0015f, x * (1 / scale) is 1.4999999 (code 1) but x / scale is 1.5 (code 2).
W8A8_HOST_DEVICE inline int8_t ActivationCode(float x, float inv_scale) {
  const float p = x * inv_scale;
  if (p != p) return 0;
  return static_cast<int8_t>(RoundToEven(Clamp(p, -127.0f, 127.0f)));
}

W8A8_HOST_DEVICE inline bool IsSaturated(float x, float inv_scale) {
  return IsFiniteBits(x) && Abs(x * inv_scale) >= 127.5f;
}

// rne(x * inv_scale) + zero_point before the clamp to the codes. Beyond +-1,024 every sum with a
// zero point of int8 is outside the codes, so the product is cut there, where rounding is exact.
W8A8_HOST_DEVICE inline float UnclampedCode(float p, int32_t zero_point) {
  return RoundToEven(Clamp(p, -1024.0f, 1024.0f)) + static_cast<float>(zero_point);
}

// With a zero point: codes -128 to 127, NaN (and +-Inf in a zero row) gives the zero point.
W8A8_HOST_DEVICE inline int8_t AsymmetricCode(float x, float inv_scale, int32_t zero_point) {
  const float p = x * inv_scale;
  if (p != p) return static_cast<int8_t>(zero_point);
  return static_cast<int8_t>(Clamp(UnclampedCode(p, zero_point), -128.0f, 127.0f));
}

W8A8_HOST_DEVICE inline bool IsAsymmetricSaturated(float x, float inv_scale, int32_t zero_point) {
  if (!IsFiniteBits(x)) return false;
  const float code = UnclampedCode(x * inv_scale, zero_point);
  return code < -128.0f || code > 127.0f;
}

// ---- outputs ----

// bias 0 where the layer has none. float(acc) rounds: |acc| can pass 2^24.
W8A8_HOST_DEVICE inline float Dequantize(int32_t acc, float scale_w, float scale_x, float bias) {
  return Fma(static_cast<float>(acc) * scale_w, scale_x, bias);
}

// ---- outputs quantized ----

// What is stored of an FP16 output `y` quantized to `code` = ActivationCode(y, 1 / scale).
W8A8_HOST_DEVICE inline float OutputValue(int8_t code, float scale) {
  return static_cast<float>(code) * scale;
}

// layer_scale 1 where the model has none.
W8A8_HOST_DEVICE inline float Residual(float layer_scale, float y, float x) {
  return Fma(layer_scale, y, x);
}

// ---- activation functions ----
// FP16 values in, unrounded binary32 out; the caller rounds once to FP16. After that rounding each
// is within one FP16 ulp or 2^-15, whichever is larger, of the exact function on every finite FP16
// input. NaN gives NaN, +infinity +infinity, -infinity -0.

W8A8_HOST_DEVICE inline float GeluFromFit(float x, const GeluFit& fit) {
  const float xc = Clamp(x, -fit.limit, fit.limit);
  const float t = Fma(xc * xc, fit.two_over_limit2, -1.0f);
  float sum = fit.p[9];
  for (int i = 8; i >= 0; --i) sum = Fma(sum, t, fit.p[i]);
  const float phi = Clamp(Fma(xc, sum, 0.5f), 0.0f, 1.0f);
  return (x < -65504.0f ? -65504.0f : x) * phi;  // -infinity * 0 would be NaN
}

// x/2 (1 + erf(x / sqrt 2)).
W8A8_HOST_DEVICE inline float GeluErf(float x) {
  constexpr GeluFit fit = GeluErfFit();
  return GeluFromFit(x, fit);
}

// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
W8A8_HOST_DEVICE inline float GeluTanh(float x) {
  constexpr GeluFit fit = GeluTanhFit();
  return GeluFromFit(x, fit);
}

// 2^z for |z| <= 100, relative error below 2^-22; 2^0 = 1 exactly. NaN gives some number.
W8A8_HOST_DEVICE inline float Exp2(float z) {
  constexpr Exp2Fit fit = Exp2OfFraction();
  const float shifted = z + 0x1.8p23f;
  const float f = z - (shifted - 0x1.8p23f);
  float sum = fit.p[5];
  for (int i = 4; i >= 0; --i) sum = Fma(sum, f, fit.p[i]);
  return FloatFromBits(FloatBits(sum) + ((FloatBits(shifted) - 0x4b400000u) << 23));
}

// x / (1 + 2^(x * rate)): beyond |x * rate| = 100 the quotient is x or -0 in FP16.
W8A8_HOST_DEVICE inline float SigmoidGate(float x, float rate) {
  if (x != x) return x;
  const float e = Exp2(Clamp(x * rate, -kMaxExponent, kMaxExponent));
  return (x < -65504.0f ? -65504.0f : x) / (1.0f + e);
}

// x / (1 + exp(-x)).
W8A8_HOST_DEVICE inline float Silu(float x) { return SigmoidGate(x, kSiluRate); }
// x / (1 + exp(-1.702 x)).
W8A8_HOST_DEVICE inline float QuickGelu(float x) { return SigmoidGate(x, kQuickGeluRate); }

}  // namespace w8a8
