// Vectors of eight lanes with AVX2, FMA and F16C: the V of vector_rows.h, vector_codes.h and
// vector_products.h. Tails go through a buffer. Included by files that are compiled for AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

struct Avx2 {
  using Floats = __m256;
  using Ints [[gnu::vector_size(32)]] = int32_t;
  using Lanes = int64_t;  // as many as there are left, 8 and above: all
  using Words = __m256i;  // of sixteen bits
  using Doubles = __m256d;
  static constexpr int64_t kLanes = 8;

  static Lanes FirstLanes(int64_t count) { return count; }

  static __m256i Mask(Lanes lanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(lanes < 8 ? lanes : 8)), lane);
  }

  static Floats Load(const float* from) { return _mm256_loadu_ps(from); }
  static Floats Load(const float* from, Lanes lanes) {
    return lanes >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, Mask(lanes));
  }
  static Floats Load(const Half* from, Lanes lanes) {
    Half some[8] = {};
    if (lanes < 8) {
      for (int64_t i = 0; i < lanes; ++i) some[i] = from[i];
      from = some;
    }
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static void Store(float* to, Floats values) { _mm256_storeu_ps(to, values); }
  static void Store(float* to, Lanes lanes, Floats values) {
    if (lanes >= 8) return _mm256_storeu_ps(to, values);
    _mm256_maskstore_ps(to, Mask(lanes), values);
  }
  static void Store(Half* to, Lanes lanes, Floats values) {
    const __m128i halves = _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
    if (lanes >= 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), halves);
    Half some[8];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(some), halves);
    for (int64_t i = 0; i < lanes; ++i) to[i] = some[i];
  }

  // The first and the second half of the lanes, in binary64.
  static Doubles WidenLow(Floats values) { return _mm256_cvtps_pd(_mm256_castps256_ps128(values)); }
  static Doubles WidenHigh(Floats values) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(values, 1));
  }
  static Doubles Load(const double* from) { return _mm256_loadu_pd(from); }
  static void Store(double* to, Doubles values) { _mm256_storeu_pd(to, values); }

  static Floats Splat(float value) { return _mm256_set1_ps(value); }
  static Floats Keep(Lanes lanes, Floats values) {
    return lanes >= 8 ? values : _mm256_and_ps(values, _mm256_castsi256_ps(Mask(lanes)));
  }
  // `values` where x is not below `least`, else 0.
  static Floats KeepFrom(float least, Floats x, Floats values) {
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(least), _CMP_NLT_UQ), values);
  }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats Max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats Min(Floats a, Floats b) { return _mm256_min_ps(a, b); }

  // Within each group of eight: s[0] += s[4], then s[2], then s[1], in all lanes at once.
  static Floats SumOfEight(Floats s) {
    s = s + _mm256_permute2f128_ps(s, s, 0x01);
    s = s + _mm256_permute_ps(s, 0x4e);
    return s + _mm256_permute_ps(s, 0xb1);
  }

  // Patterns of FP16 without their signs.
  static Words Magnitudes(const Half* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm256_and_si256(halves, _mm256_set1_epi16(0x7fff));
  }
  static float FromHalf(uint16_t pattern) {
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(pattern)))[0];
  }
  static Words Max(Words a, Words b) { return _mm256_max_epu16(a, b); }

  // Of values without a NaN.
  static float LargestLane(Floats values) {
    __m128 v = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ps(v, _mm_shuffle_ps(v, v, 1)));
  }
  static int32_t SumOfLanes(Ints values) {
    __m128i v = _mm_add_epi32(_mm256_castsi256_si128((__m256i)values),
                              _mm256_extracti128_si256((__m256i)values, 1));
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
  }

  static Ints Load(const int32_t* from) {
    return (Ints)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static void Store(int32_t* to, Ints values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)values);
  }
  static void Store(int32_t* to, Lanes lanes, Ints values) {
    if (lanes >= 8) return Store(to, values);
    _mm256_maskstore_epi32(to, Mask(lanes), (__m256i)values);
  }
  // The lanes in sixteen and in eight bits, saturated.
  static __m128i Words16(Ints values) {
    return _mm_packs_epi32(_mm256_castsi256_si128((__m256i)values),
                           _mm256_extracti128_si256((__m256i)values, 1));
  }
  static void StoreBytes(int8_t* to, Ints values) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                     _mm_packs_epi16(Words16(values), _mm_setzero_si128()));
  }
  static Floats ToFloats(Ints values) { return _mm256_cvtepi32_ps((__m256i)values); }
  // To the nearest, ties to even; values of int32 only.
  static Ints Nearest(Floats values) { return (Ints)_mm256_cvtps_epi32(values); }
};

}  // namespace
}  // namespace w8a8
