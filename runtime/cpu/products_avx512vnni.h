// The products of the AVX-512-VNNI set, which other AVX-512 sets use where they have none of their
// own. Codes are u8 = code + 128. vpdpbusd sums (code + 128) * weight on accumulators that begin at
// -128 * (sum of the column's codes); both wrap modulo 2^32, which is harmless. Included by files
// that are compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/tiles_avx512vnni.h"
#include "runtime/cpu/vector_codes.h"
#include "runtime/cpu/vector_products.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

// Nearest, ties to even; NaN keeps its upper bits and is quieted.
inline void StoreBFloat16(BFloat16* to, __mmask16 lanes, __m512 values) {
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quieted = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  const __m512i upper = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quieted), 16);
  _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtepi32_epi16(upper));
}

// The tiles and vectors of the set, for what is written once for every width of vector.
struct Set : Avx512 {
  using Code = uint8_t;
  static constexpr int32_t kCodeShift = 128;
  static constexpr TileSize kTileSize = w8a8::kTileSize;
  static constexpr int64_t kStep = w8a8::kStep;
  static constexpr int64_t kPanelInputs = w8a8::kPanelInputs;
  static constexpr int64_t kCodesMultiple = w8a8::kCodesMultiple;

  static void StoreCodes(Code* to, Ints codes) {
    const __m128i shifted =
        _mm_xor_si128(_mm512_cvtepi32_epi8((__m512i)codes), _mm_set1_epi8(-128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), shifted);
  }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* start, int32_t* sums) {
    kTiles<2>[rows - 1](x, x_stride, panel, steps, start, sums);
  }
  static void MultiplyFloats(int64_t rows, const float* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* zero_point, float* sums) {
    kFloatTiles[rows - 1](x, x_stride, panel, steps, zero_point, sums);
  }
  static void StoreRow(const StoreArgs& to, int64_t at, int64_t count, __m512 y) {
    const __mmask16 lanes = Avx512::FirstLanes(count);
    switch (to.type) {
      case OutputType::kHalf:
        return Store(static_cast<Half*>(to.y) + at, lanes, y);
      case OutputType::kBFloat16:
        return StoreBFloat16(static_cast<BFloat16*>(to.y) + at, lanes, y);
      case OutputType::kFloat:
        return Store(static_cast<float*>(to.y) + at, lanes, y);
    }
  }
};
using SetProducts = VectorProducts<Set>;

}  // namespace
}  // namespace w8a8
