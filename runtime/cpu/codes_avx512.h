// Activation codes and packed weights as the AVX-512 sets keep them: codes as u8 = code + 128,
// row-major; weights in panels (panels_avx512.h). Included by files that are compiled for AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

// ---- quantize ----

constexpr float kMaxFloat = 0x1.fffffep+127f;

inline __m256i LoadHalves(const Half* from, __mmask16 lanes) {
  return _mm256_maskz_loadu_epi16(lanes, from);
}

// The pattern without its sign orders finite FP16 values by magnitude.
float FiniteAmax(const Half* x, int64_t cols) {
  const __m256i infinity = _mm256_set1_epi16(0x7c00);
  __m256i amax = _mm256_setzero_si256();
  for (int64_t c = 0; c < cols; c += 16) {
    const __m256i halves = LoadHalves(x + c, Avx512::FirstLanes(cols - c));
    const __m256i magnitude = _mm256_and_si256(halves, _mm256_set1_epi16(0x7fff));
    const __m256i finite = _mm256_cmpgt_epi16(infinity, magnitude);
    amax = _mm256_max_epi16(amax, _mm256_and_si256(finite, magnitude));
  }
  return _mm512_reduce_max_ps(_mm512_cvtph_ps(amax));
}

// The largest pattern without its sign: a NaN or an infinity where the row has one.
uint16_t LargestMagnitude(const Half* x, int64_t cols) {
  const __m512i magnitude_bits = _mm512_set1_epi16(0x7fff);
  __m512i largest = _mm512_setzero_si512();
  int64_t c = 0;
  for (; c + 32 <= cols; c += 32) {
    const __m512i magnitude = _mm512_and_si512(_mm512_loadu_si512(x + c), magnitude_bits);
    largest = _mm512_max_epu16(largest, magnitude);
  }
  alignas(64) uint16_t lanes[32];
  _mm512_store_si512(lanes, largest);
  uint16_t all = 0;
  for (const uint16_t lane : lanes) all = lane > all ? lane : all;
  for (; c < cols; ++c) {
    const auto magnitude = static_cast<uint16_t>(x[c].bits & 0x7fff);
    all = magnitude > all ? magnitude : all;
  }
  return all;
}

inline float ToFloatOf(uint16_t pattern) {
  const __m256i lanes = _mm256_set1_epi16(static_cast<int16_t>(pattern));
  return _mm512_reduce_max_ps(_mm512_cvtph_ps(lanes));
}

struct RowScale {
  float scale, inv_scale;
  bool needs_clamp;  // false: no p is a NaN or beyond +-127.5
};

RowScale ScaleOfRow(const QuantizeRowsArgs& args, const Half* x) {
  if (args.static_scale != nullptr) return {*args.static_scale, 1.0f / *args.static_scale, true};
  const uint16_t largest = LargestMagnitude(x, args.cols);
  const bool finite = largest < 0x7c00;
  const float amax = finite ? ToFloatOf(largest) : FiniteAmax(x, args.cols);
  const float a = amax < args.clip_range ? amax : args.clip_range;
  const float inv_scale = 127.0f / a;  // infinite where a is 0 or a tiny R
  if (inv_scale > kMaxFloat) return {0.0f, 0.0f, true};
  return {a / 127.0f, inv_scale, !finite || a < amax};
}

// p = x * inv_scale of 16 elements; lanes past the row hold 0.
inline __m512 Products(const Half* x, __mmask16 lanes, float inv_scale) {
  return _mm512_mul_ps(_mm512_cvtph_ps(LoadHalves(x, lanes)), _mm512_set1_ps(inv_scale));
}

inline __m512i CodesOf(__m512 p) {
  const __mmask16 ordered = _mm512_cmp_ps_mask(p, p, _CMP_ORD_Q);
  const __m512 clamped =
      _mm512_min_ps(_mm512_max_ps(p, _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f));
  return _mm512_maskz_cvtps_epi32(ordered, clamped);
}

template <bool kNeedsClamp>
int32_t QuantizeRow(const Half* x, int64_t cols, float inv_scale, uint8_t* codes, int64_t stride) {
  __m512i sum = _mm512_setzero_si512();
  for (int64_t c = 0; c < stride; c += 16) {  // past the row p is 0 (or NaN): code 0
    const __m512 p = Products(x + c, Avx512::FirstLanes(cols - c), inv_scale);
    const __m512i code = kNeedsClamp ? CodesOf(p) : _mm512_maskz_cvtps_epi32(0xffff, p);
    sum = _mm512_add_epi32(sum, code);
    const __m128i shifted = _mm_xor_si128(_mm512_cvtepi32_epi8(code), _mm_set1_epi8(-128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + c), shifted);
  }
  return _mm512_reduce_add_epi32(sum);
}

void CountRow(const Half* x, int64_t cols, float inv_scale, QuantizeCounts* counts) {
  for (int64_t c = 0; c < cols; c += 16) {
    const __mmask16 lanes = Avx512::FirstLanes(cols - c);
    const __m512 value = _mm512_abs_ps(_mm512_cvtph_ps(LoadHalves(x + c, lanes)));
    const __m512 product = _mm512_abs_ps(Products(x + c, lanes, inv_scale));
    const __m512 infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
    const int nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const int inf = _mm512_cmp_ps_mask(value, infinity, _CMP_EQ_OQ);
    const int outside = _mm512_cmp_ps_mask(product, _mm512_set1_ps(127.5f), _CMP_GE_OQ);
    counts->nan += static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(nan)));
    counts->inf += static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(inf)));
    counts->saturated +=
        static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(outside & ~inf & ~nan)));
  }
}

// ---- codes and weights ----

void QuantizeRows(const QuantizeRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    const RowScale scale = ScaleOfRow(args, x);
    args.scale[r] = scale.scale;
    auto* codes = static_cast<uint8_t*>(args.codes) + r * args.codes_stride;
    const int32_t sum =
        scale.needs_clamp
            ? QuantizeRow<true>(x, args.cols, scale.inv_scale, codes, args.codes_stride)
            : QuantizeRow<false>(x, args.cols, scale.inv_scale, codes, args.codes_stride);
    if (args.code_sum != nullptr) args.code_sum[r] = sum;
    if (args.counts != nullptr) CountRow(x, args.cols, scale.inv_scale, args.counts);
  }
}

void UnpackCodes(const UnpackCodesArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const uint8_t* codes = static_cast<const uint8_t*>(args.codes) + r * args.codes_stride;
    int8_t* unpacked = args.unpacked + r * args.unpacked_stride;
    for (int64_t c = 0; c < args.cols; ++c) unpacked[c] = static_cast<int8_t>(codes[c] ^ 0x80);
  }
}

int64_t PackedBytes(int64_t n, int64_t k) { return DivideUp(n, kPanel) * PanelBytes(k); }

// [panel][k / 4][32 columns][4 inputs]; columns past n and inputs past k stay zero.
void PackWeights(const PackWeightsArgs& args) {
  for (int64_t n = 0; n < args.n; ++n) {
    int8_t* column =
        static_cast<int8_t*>(args.packed) + n / kPanel * PanelBytes(args.k) + n % kPanel * kStep;
    for (int64_t k = 0; k < args.k; ++k) {
      column[k / kStep * kStep * kPanel + k % kStep] = args.codes[n * args.k + k];
    }
  }
}

}  // namespace
}  // namespace w8a8
