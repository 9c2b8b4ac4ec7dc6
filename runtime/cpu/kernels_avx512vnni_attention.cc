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
  static void StoreCodes(Code* to, Ints codes) { StoreBytes(to, codes + kCodeShift); }
  static void StoreUnits(int8_t* to, Ints units) { _mm512_storeu_si512(to, (__m512i)units); }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* start, int32_t* sums) {
    kTiles[rows - 1](x, x_stride, panel, steps, start, sums);
  }
};

}  // namespace

const AttentionKernel kAvx512VnniInt8Attention =
    VectorInt8Attention<Set>::Kernel("INT8, AVX-512-VNNI");

}  // namespace w8a8
