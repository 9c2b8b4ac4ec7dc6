// The register tiles of the AVX2 set. Included by its one source.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/gemm_tiles.h"

namespace w8a8 {
namespace {

// 6 x 16 takes 12 accumulators, two registers of weights and one of codes: 15 of 16. A panel of
// K = 1,152 is 18 KiB and stays in the first-level cache.
constexpr GemmTuning kTuning = {
    .tile_rows = 6, .panel_cols = 16, .k_multiple = 32, .block_bytes = 220 * 1024};
constexpr int64_t kPanel = kTuning.panel_cols;
constexpr int64_t kStep = 2;  // inputs of a column side by side

using AliasedInt32 = int32_t __attribute__((may_alias));

// Eight columns of two inputs, as int16.
inline __m256i LoadWeights(const int8_t* from) {
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}

// Six named rows of two accumulators, cut by MR at compile time: g++ 12 spills accumulators that
// are an array.
// clang-format off
#define W8A8_ROWS(X) X(0, x0) X(1, x0) X(2, x0) X(3, x3) X(4, x3) X(5, x3)
// clang-format on
#define W8A8_DECLARE(r, base) \
  [[maybe_unused]] __m256i left##r = _mm256_setzero_si256(), right##r = _mm256_setzero_si256();
#define W8A8_STEP(r, base)                                                          \
  if constexpr (r < MR) {                                                           \
    const __m256i a = _mm256_set1_epi32(                                            \
        *reinterpret_cast<const AliasedInt32*>(base + 2 * i + (r % 3) * x_stride)); \
    left##r = _mm256_add_epi32(left##r, _mm256_madd_epi16(a, w_left));              \
    right##r = _mm256_add_epi32(right##r, _mm256_madd_epi16(a, w_right));           \
  }
#define W8A8_KEEP(r, base)                                                          \
  if constexpr (r < MR) {                                                           \
    _mm256_store_si256(reinterpret_cast<__m256i*>(acc + r * kPanel), left##r);      \
    _mm256_store_si256(reinterpret_cast<__m256i*>(acc + r * kPanel + 8), right##r); \
  }

// acc[r][0..15] = sum over 2 * k2 inputs of x[r] * panel, r < MR. acc is 32-byte aligned.
template <int MR>
void MultiplyTile(const int16_t* x0, int64_t x_stride, const int8_t* panel, int64_t k2,
                  int32_t* acc) {
  [[maybe_unused]] const int16_t* x3 = x0 + 3 * x_stride;
  W8A8_ROWS(W8A8_DECLARE)
  for (int64_t i = 0; i < k2; ++i) {
    const __m256i w_left = LoadWeights(panel + 2 * kPanel * i);
    const __m256i w_right = LoadWeights(panel + 2 * kPanel * i + 16);
    W8A8_ROWS(W8A8_STEP)
  }
  W8A8_ROWS(W8A8_KEEP)
}

#define W8A8_DECLARE_FLOATS(r, base) \
  [[maybe_unused]] __m256 left##r = _mm256_setzero_ps(), right##r = _mm256_setzero_ps();
#define W8A8_STEP_FLOATS(r, base)                                      \
  if constexpr (r < MR) {                                              \
    const __m256 a = _mm256_set1_ps(base[i + j + (r % 3) * x_stride]); \
    left##r = _mm256_fmadd_ps(a, w_left, left##r);                     \
    right##r = _mm256_fmadd_ps(a, w_right, right##r);                  \
  }
#define W8A8_KEEP_FLOATS(r, base)                    \
  if constexpr (r < MR) {                            \
    _mm256_store_ps(acc + r * kPanel, left##r);      \
    _mm256_store_ps(acc + r * kPanel + 8, right##r); \
  }

// The lower code of each lane's two, widened, less the zero point of its column.
inline __m256 LowerCode(__m256i codes, const int32_t* zero_point) {
  const __m256i code = _mm256_srai_epi32(_mm256_slli_epi32(codes, 16), 16);
  const __m256i zero = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zero_point));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero));
}

// acc[r][0..15] = sum over 2 * k2 inputs of x[r] * (panel - zero_point[0..15]), k ascending.
template <int MR>
void MultiplyFloatTile(const float* x0, int64_t x_stride, const int8_t* panel, int64_t k2,
                       const int32_t* zero_point, float* acc) {
  [[maybe_unused]] const float* x3 = x0 + 3 * x_stride;
  W8A8_ROWS(W8A8_DECLARE_FLOATS)
  for (int64_t i = 0; i < 2 * k2; i += 2) {
    for (int64_t j = 0; j < 2; ++j) {
      const __m128i shift = _mm_cvtsi32_si128(static_cast<int32_t>(16 * j));
      const __m256 w_left =
          LowerCode(_mm256_srl_epi32(LoadWeights(panel + kPanel * i), shift), zero_point);
      const __m256 w_right =
          LowerCode(_mm256_srl_epi32(LoadWeights(panel + kPanel * i + 16), shift), zero_point + 8);
      W8A8_ROWS(W8A8_STEP_FLOATS)
    }
  }
  W8A8_ROWS(W8A8_KEEP_FLOATS)
}

using TileFunction = void (*)(const int16_t*, int64_t, const int8_t*, int64_t, int32_t*);
constexpr TileFunction kTiles[kTuning.tile_rows] = {MultiplyTile<1>, MultiplyTile<2>,
                                                    MultiplyTile<3>, MultiplyTile<4>,
                                                    MultiplyTile<5>, MultiplyTile<6>};
using FloatTileFunction = void (*)(const float*, int64_t, const int8_t*, int64_t, const int32_t*,
                                   float*);
constexpr FloatTileFunction kFloatTiles[kTuning.tile_rows] = {
    MultiplyFloatTile<1>, MultiplyFloatTile<2>, MultiplyFloatTile<3>,
    MultiplyFloatTile<4>, MultiplyFloatTile<5>, MultiplyFloatTile<6>};

#undef W8A8_ROWS
#undef W8A8_DECLARE
#undef W8A8_STEP
#undef W8A8_KEEP
#undef W8A8_DECLARE_FLOATS
#undef W8A8_STEP_FLOATS
#undef W8A8_KEEP_FLOATS

}  // namespace
}  // namespace w8a8
