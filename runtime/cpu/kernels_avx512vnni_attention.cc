// Attention with INT8 products for AVX-512-VNNI: queries are u8 = code + 128, weights of keys u8 as
// they are.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/tiles_avx512vnni.h"
#include "runtime/cpu/vector_int8_attention.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

struct Set : Avx512 {
  using Code = uint8_t;
  using Unit [[gnu::may_alias]] = uint32_t;
  static constexpr int32_t kCodeShift = 128;
  static constexpr int64_t kTileRows = kTileSize.rows;
  static constexpr int64_t kPanel = w8a8::kPanel;
  static constexpr int64_t kStep = w8a8::kStep;

  static void StoreBytes(void* to, Ints values) {
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)values));
  }
  static void StoreWeights(Code* to, Ints weights) { StoreBytes(to, weights); }
  // Packing within lanes of 128 bits leaves the quarters of the vectors side by side.
  static constexpr int64_t kWeightVectors = 4;
  static void StoreWeightVectors(Code* to, const Ints* weights) {
    const __m512i low = _mm512_packus_epi32((__m512i)weights[0], (__m512i)weights[1]);
    const __m512i high = _mm512_packus_epi32((__m512i)weights[2], (__m512i)weights[3]);
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i bytes = _mm512_packus_epi16(low, high);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, bytes));
  }
  static void StoreCodes(Code* to, Ints codes) { StoreBytes(to, codes + kCodeShift); }
  static void StoreUnits(int8_t* to, Ints units) { _mm512_storeu_si512(to, (__m512i)units); }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* start, int32_t* sums) {
    kTiles<2>[rows - 1](x, x_stride, panel, steps, start, sums);
  }
  static void MultiplyNarrow(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* start, int32_t* sums) {
    kTiles<1>[rows - 1](x, x_stride, panel, steps, start, sums);
  }
};

}  // namespace

const AttentionKernel kAvx512VnniInt8Attention =
    VectorInt8Attention<Set>::Kernel("INT8, AVX-512-VNNI");

}  // namespace w8a8
