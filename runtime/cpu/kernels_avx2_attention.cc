// Attention with INT8 products for AVX2: queries and weights of keys are int16.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/tiles_avx2.h"
#include "runtime/cpu/vector_int8_attention.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

struct Set : Avx2 {
  using Code = int16_t;
  using Unit [[gnu::may_alias]] = uint16_t;
  static constexpr int32_t kCodeShift = 0;
  static constexpr int64_t kTileRows = kTuning.tile_rows;
  static constexpr int64_t kPanel = w8a8::kPanel;
  static constexpr int64_t kStep = w8a8::kStep;

  static __m128i Words(Ints values) {
    return _mm_packs_epi32(_mm256_castsi256_si128((__m256i)values),
                           _mm256_extracti128_si256((__m256i)values, 1));
  }
  static void StoreBytes(int8_t* to, Ints codes) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                     _mm_packs_epi16(Words(codes), _mm_setzero_si128()));
  }
  static void StoreCodes(Code* to, Ints codes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Words(codes));
  }
  static void StoreWeights(Code* to, Ints weights) { StoreCodes(to, weights); }
  static void StoreUnits(int8_t* to, Ints units) {
    const __m128i low = _mm256_castsi256_si128((__m256i)units);
    const __m128i high = _mm256_extracti128_si256((__m256i)units, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packus_epi32(low, high));
  }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* /*start*/, int32_t* sums) {
    kTiles[rows - 1](x, x_stride, panel, steps, sums);
  }
};

}  // namespace

const AttentionKernel kAvx2Int8Attention = VectorInt8Attention<Set>::Kernel("INT8, AVX2");

}  // namespace w8a8
