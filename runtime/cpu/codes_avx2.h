// How the AVX2 set stores and multiplies codes: the P of tiles_avx2.h. Activation codes are int16;
// weights int8, two inputs of a column side by side, widened when loaded. vpmaddwd then adds two
// products of a column in int32: exact, where vpmaddubsw would saturate at 16 bits.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

struct WordCodes : Avx2 {
  using Code = int16_t;
  using Unit [[gnu::may_alias]] = uint16_t;
  static constexpr int32_t kCodeShift = 0;
  static constexpr int64_t kStep = 2;
  static constexpr int64_t kRegisterBytes = 16;

  static void StoreCodes(Code* to, Ints codes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Words16(codes));
  }
  static __m256i LoadWeights(const int8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static __m256i MultiplyAdd(__m256i sum, __m256i a, __m256i w) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, w));
  }

  // ---- attention ----

  static void StoreWeights(Code* to, Ints weights) { StoreCodes(to, weights); }
  static constexpr int64_t kWeightVectors = 1;
  static void StoreWeightVectors(Code* to, const Ints* weights) { StoreWeights(to, weights[0]); }
  static void StoreUnits(int8_t* to, Ints units) {
    const __m128i low = _mm256_castsi256_si128((__m256i)units);
    const __m128i high = _mm256_extracti128_si256((__m256i)units, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packus_epi32(low, high));
  }
};

}  // namespace
}  // namespace w8a8
