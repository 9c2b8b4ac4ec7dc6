// How the AVX-VNNI set stores and multiplies codes: the P of tiles_avx2.h. Activation codes are u8
// = code + 128, weights int8, four inputs of a column side by side, for vpdpbusd on 256 bits.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

struct ByteCodes : Avx2 {
  using Code = uint8_t;
  using Unit [[gnu::may_alias]] = uint32_t;
  static constexpr int32_t kCodeShift = 128;
  static constexpr int64_t kStep = 4;
  static constexpr int64_t kRegisterBytes = 32;

  static void StoreCodes(Code* to, Ints codes) {
    const __m128i bytes = _mm_packs_epi16(Words16(codes), _mm_setzero_si128());
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
  }
  static __m256i LoadWeights(const int8_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i MultiplyAdd(__m256i sum, __m256i a, __m256i w) {
    return _mm256_dpbusd_avx_epi32(sum, a, w);
  }

  // ---- attention ----

  static void StoreWeights(Code* to, Ints weights) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                     _mm_packus_epi16(Words16(weights), _mm_setzero_si128()));
  }
  static constexpr int64_t kWeightVectors = 1;
  static void StoreWeightVectors(Code* to, const Ints* weights) { StoreWeights(to, weights[0]); }
  static void StoreUnits(int8_t* to, Ints units) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)units);
  }
};

}  // namespace
}  // namespace w8a8
