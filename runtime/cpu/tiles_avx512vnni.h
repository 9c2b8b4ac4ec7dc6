// The register tiles of the AVX-512-VNNI products. Included by files that are compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/panels_avx512.h"

namespace w8a8 {
namespace {

// 12 x 32 fills 24 of the 32 registers and divides the rows of ViTs well (729 = 60 x 12 + 9).
constexpr TileSize kTileSize = {.rows = 12, .cols = kPanel};

using AliasedInt32 = int32_t __attribute__((may_alias));

// Twelve named rows of two accumulators: g++ 12 spills accumulators that are an array (30 to 48 %
// of the vpdpbusd peak instead of 90), so rows are spelled out and cut by MR at compile time. A
// row's address is one of four pointers plus 0, 1 or 2 strides: an addressing mode, not a register.
// clang-format off
#define W8A8_ROWS(X)              \
  X(0, x0) X(1, x0) X(2, x0)      \
  X(3, x3) X(4, x3) X(5, x3)      \
  X(6, x6) X(7, x6) X(8, x6)      \
  X(9, x9) X(10, x9) X(11, x9)
// clang-format on
#define W8A8_POINTERS                                  \
  [[maybe_unused]] const auto* x3 = x0 + 3 * x_stride; \
  [[maybe_unused]] const auto* x6 = x0 + 6 * x_stride; \
  [[maybe_unused]] const auto* x9 = x0 + 9 * x_stride;

#define W8A8_DECLARE(r, base) [[maybe_unused]] __m512i left##r = start_left, right##r = start_right;
#define W8A8_STEP(r, base)                                                          \
  if constexpr (r < MR) {                                                           \
    const __m512i a = _mm512_set1_epi32(                                            \
        *reinterpret_cast<const AliasedInt32*>(base + 4 * i + (r % 3) * x_stride)); \
    left##r = _mm512_dpbusd_epi32(left##r, a, b_left);                              \
    if constexpr (NV > 1) right##r = _mm512_dpbusd_epi32(right##r, a, b_right);     \
  }
#define W8A8_KEEP(r, base)                                                     \
  if constexpr (r < MR) {                                                      \
    _mm512_store_si512(acc + r * kPanel, left##r);                             \
    if constexpr (NV > 1) _mm512_store_si512(acc + r * kPanel + 16, right##r); \
  }

// acc[r][0 .. 16 NV) = start + sum over 4 * k4 inputs of x[r] * panel, r < MR. acc and start are
// 64-byte aligned.
template <int MR, int NV>
void MultiplyTile(const uint8_t* x0, int64_t x_stride, const int8_t* panel, int64_t k4,
                  const int32_t* start, int32_t* acc) {
  W8A8_POINTERS
  const __m512i start_left = _mm512_load_si512(start);
  const __m512i start_right = _mm512_load_si512(start + 16);
  W8A8_ROWS(W8A8_DECLARE)
  for (int64_t i = 0; i < k4; ++i) {
    const __m512i b_left = _mm512_load_si512(panel + 4 * kPanel * i);
    [[maybe_unused]] const __m512i b_right = _mm512_load_si512(panel + 4 * kPanel * i + 64);
    W8A8_ROWS(W8A8_STEP)
  }
  W8A8_ROWS(W8A8_KEEP)
}

#define W8A8_DECLARE_FLOATS(r, base) \
  [[maybe_unused]] __m512 left##r = _mm512_setzero_ps(), right##r = _mm512_setzero_ps();
#define W8A8_STEP_FLOATS(r, base)                                      \
  if constexpr (r < MR) {                                              \
    const __m512 a = _mm512_set1_ps(base[i + j + (r % 3) * x_stride]); \
    left##r = _mm512_fmadd_ps(a, b_left, left##r);                     \
    right##r = _mm512_fmadd_ps(a, b_right, right##r);                  \
  }
#define W8A8_KEEP_FLOATS(r, base)                     \
  if constexpr (r < MR) {                             \
    _mm512_store_ps(acc + r * kPanel, left##r);       \
    _mm512_store_ps(acc + r * kPanel + 16, right##r); \
  }

// The lowest code of each lane's four, widened, less the zero point.
inline __m512 LowestCode(__m512i codes, __m512i zero_point) {
  const __m512i code = _mm512_srai_epi32(_mm512_slli_epi32(codes, 24), 24);
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(code, zero_point));
}

// acc[r][0..31] = sum over 4 * k4 inputs of x[r] * (panel - zero_point[0..31]), k ascending.
template <int MR>
void MultiplyFloatTile(const float* x0, int64_t x_stride, const int8_t* panel, int64_t k4,
                       const int32_t* zero_point, float* acc) {
  W8A8_POINTERS
  const __m512i zero_left = _mm512_loadu_si512(zero_point);
  const __m512i zero_right = _mm512_loadu_si512(zero_point + 16);
  W8A8_ROWS(W8A8_DECLARE_FLOATS)
  for (int64_t i = 0; i < 4 * k4; i += 4) {
    __m512i left = _mm512_load_si512(panel + kPanel * i);
    __m512i right = _mm512_load_si512(panel + kPanel * i + 64);
    for (int64_t j = 0; j < 4; ++j) {
      const __m512 b_left = LowestCode(left, zero_left);
      const __m512 b_right = LowestCode(right, zero_right);
      W8A8_ROWS(W8A8_STEP_FLOATS)
      left = _mm512_srli_epi32(left, 8);
      right = _mm512_srli_epi32(right, 8);
    }
  }
  W8A8_ROWS(W8A8_KEEP_FLOATS)
}

using TileFunction = void (*)(const uint8_t*, int64_t, const int8_t*, int64_t, const int32_t*,
                              int32_t*);
template <int NV>
constexpr TileFunction kTiles[kTileSize.rows] = {
    MultiplyTile<1, NV>, MultiplyTile<2, NV>,  MultiplyTile<3, NV>,  MultiplyTile<4, NV>,
    MultiplyTile<5, NV>, MultiplyTile<6, NV>,  MultiplyTile<7, NV>,  MultiplyTile<8, NV>,
    MultiplyTile<9, NV>, MultiplyTile<10, NV>, MultiplyTile<11, NV>, MultiplyTile<12, NV>};
using FloatTileFunction = void (*)(const float*, int64_t, const int8_t*, int64_t, const int32_t*,
                                   float*);
constexpr FloatTileFunction kFloatTiles[kTileSize.rows] = {
    MultiplyFloatTile<1>, MultiplyFloatTile<2>,  MultiplyFloatTile<3>,  MultiplyFloatTile<4>,
    MultiplyFloatTile<5>, MultiplyFloatTile<6>,  MultiplyFloatTile<7>,  MultiplyFloatTile<8>,
    MultiplyFloatTile<9>, MultiplyFloatTile<10>, MultiplyFloatTile<11>, MultiplyFloatTile<12>};

#undef W8A8_ROWS
#undef W8A8_POINTERS
#undef W8A8_DECLARE
#undef W8A8_STEP
#undef W8A8_KEEP
#undef W8A8_DECLARE_FLOATS
#undef W8A8_STEP_FLOATS
#undef W8A8_KEEP_FLOATS

}  // namespace
}  // namespace w8a8
