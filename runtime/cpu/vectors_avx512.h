// Vectors of sixteen lanes with AVX-512: the V of vector_rows.h, vector_codes.h and
// vector_products.h. Included by files that are compiled for AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

struct Avx512 {
  using Floats = __m512;
  using Ints [[gnu::vector_size(64)]] = int32_t;
  using Lanes = __mmask16;
  using Words = __m512i;  // of sixteen bits
  using Doubles = __m512d;
  static constexpr int64_t kLanes = 16;

  static Lanes FirstLanes(int64_t count) {
    return static_cast<Lanes>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
  }

  static Floats Load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats Load(const float* from, Lanes lanes) { return _mm512_maskz_loadu_ps(lanes, from); }
  static Floats Load(const Half* from, Lanes lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, from));
  }
  static void Store(float* to, Floats values) { _mm512_storeu_ps(to, values); }
  static void Store(float* to, Lanes lanes, Floats values) {
    _mm512_mask_storeu_ps(to, lanes, values);
  }
  static void Store(Half* to, Lanes lanes, Floats values) {
    _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }

  // The first and the second half of the lanes, in binary64.
  static Doubles WidenLow(Floats values) { return _mm512_cvtps_pd(_mm512_castps512_ps256(values)); }
  static Doubles WidenHigh(Floats values) {
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(values, 1));
  }
  static Doubles Load(const double* from) { return _mm512_loadu_pd(from); }
  static void Store(double* to, Doubles values) { _mm512_storeu_pd(to, values); }

  static Floats Splat(float value) { return _mm512_set1_ps(value); }
  static Floats Keep(Lanes lanes, Floats values) { return _mm512_maskz_mov_ps(lanes, values); }
  // `values` where x is not below `least`, else 0.
  static Floats KeepFrom(float least, Floats x, Floats values) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(least), _CMP_NLT_UQ), values);
  }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }

  // Within each group of eight: s[0] += s[4], then s[2], then s[1], in all lanes at once.
  static Floats SumOfEight(Floats s) {
    s = s + _mm512_shuffle_f32x4(s, s, 0xb1);
    s = s + _mm512_permute_ps(s, 0x4e);
    return s + _mm512_permute_ps(s, 0xb1);
  }

  // Patterns of FP16 without their signs.
  static Words Magnitudes(const Half* from) {
    return _mm512_and_si512(_mm512_loadu_si512(from), _mm512_set1_epi16(0x7fff));
  }
  static float FromHalf(uint16_t pattern) {
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(pattern)))[0];
  }
  static Words Max(Words a, Words b) { return _mm512_max_epu16(a, b); }

  // Of values without a NaN.
  static float LargestLane(Floats values) { return _mm512_reduce_max_ps(values); }
  static int32_t SumOfLanes(Ints values) { return _mm512_reduce_add_epi32((__m512i)values); }

  static Ints Load(const int32_t* from) { return (Ints)_mm512_loadu_si512(from); }
  static void Store(int32_t* to, Ints values) { _mm512_storeu_si512(to, (__m512i)values); }
  static void Store(int32_t* to, Lanes lanes, Ints values) {
    _mm512_mask_storeu_epi32(to, lanes, (__m512i)values);
  }
  static Floats ToFloats(Ints values) { return _mm512_cvtepi32_ps((__m512i)values); }
  // To the nearest, ties to even; values of int32 only.
  static Ints Nearest(Floats values) {
    return (Ints)_mm512_maskz_cvtps_epi32(static_cast<Lanes>(0xffff), values);
  }
};

}  // namespace
}  // namespace w8a8
