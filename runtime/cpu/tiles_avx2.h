// The register tiles of INT8 products on 256-bit vectors, for every way of multiplying four bytes
// of a row. Included by files that are compiled for AVX2. P is Avx2 with
//   Code, kStep: a stored code, and the inputs of a column side by side; together four bytes.
//   kRegisterBytes: of a panel, eight columns of a step.
//   LoadWeights(from): those, in lanes of four bytes as `Code` has them.
//   MultiplyAdd(sum, a, w): sum + the products of a row's four bytes with each lane's.
//   kCodeShift, StoreCodes: as vector_codes.h has them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

// 6 x 16 takes 12 accumulators, two registers of weights and one of codes: 15 of 16.
constexpr TileSize kTileSize = {.rows = 6, .cols = 16};
constexpr int64_t kPanel = kTileSize.cols;

using AliasedInt32 = int32_t __attribute__((may_alias));

// Six named rows of two accumulators, cut by MR at compile time: g++ 12 spills accumulators that
// are an array.
// clang-format off
#define W8A8_ROWS(X) X(0, x0) X(1, x0) X(2, x0) X(3, x3) X(4, x3) X(5, x3)
// clang-format on
#define W8A8_DECLARE(r, base) [[maybe_unused]] __m256i left##r = start_left, right##r = start_right;
#define W8A8_STEP(r, base)                                                                 \
  if constexpr (r < MR) {                                                                  \
    const __m256i a = _mm256_set1_epi32(                                                   \
        *reinterpret_cast<const AliasedInt32*>(base + P::kStep * i + (r % 3) * x_stride)); \
    left##r = P::MultiplyAdd(left##r, a, w_left);                                          \
    if constexpr (NV > 1) right##r = P::MultiplyAdd(right##r, a, w_right);                 \
  }
#define W8A8_KEEP(r, base)                                                            \
  if constexpr (r < MR) {                                                             \
    _mm256_store_si256(reinterpret_cast<__m256i*>(acc + r * kPanel), left##r);        \
    if constexpr (NV > 1)                                                             \
      _mm256_store_si256(reinterpret_cast<__m256i*>(acc + r * kPanel + 8), right##r); \
  }

// acc[r][0 .. 8 NV) = start + sum over kStep * steps inputs of x[r] * panel, r < MR. acc and
// start are 32-byte aligned.
template <class P, int MR, int NV>
void MultiplyTile(const typename P::Code* x0, int64_t x_stride, const int8_t* panel, int64_t steps,
                  const int32_t* start, int32_t* acc) {
  [[maybe_unused]] const auto* x3 = x0 + 3 * x_stride;
  const __m256i start_left = _mm256_load_si256(reinterpret_cast<const __m256i*>(start));
  const __m256i start_right = _mm256_load_si256(reinterpret_cast<const __m256i*>(start + 8));
  W8A8_ROWS(W8A8_DECLARE)
  for (int64_t i = 0; i < steps; ++i) {
    const int8_t* step = panel + 2 * P::kRegisterBytes * i;
    const __m256i w_left = P::LoadWeights(step);
    [[maybe_unused]] const __m256i w_right = P::LoadWeights(step + P::kRegisterBytes);
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

// The lowest code of each lane, widened, less the zero point of its column.
template <class P>
__m256 LowestCode(__m256i codes, const int32_t* zero_point) {
  constexpr int kOthers = 32 - 32 / static_cast<int>(P::kStep);
  const __m256i code = _mm256_srai_epi32(_mm256_slli_epi32(codes, kOthers), kOthers);
  const __m256i zero = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zero_point));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero));
}

// acc[r][0..15] = sum over kStep * steps inputs of x[r] * (panel - zero_point[0..15]), k ascending.
template <class P, int MR>
void MultiplyFloatTile(const float* x0, int64_t x_stride, const int8_t* panel, int64_t steps,
                       const int32_t* zero_point, float* acc) {
  [[maybe_unused]] const float* x3 = x0 + 3 * x_stride;
  W8A8_ROWS(W8A8_DECLARE_FLOATS)
  for (int64_t i = 0; i < P::kStep * steps; i += P::kStep) {
    const int8_t* step = panel + 2 * P::kRegisterBytes / P::kStep * i;
    for (int64_t j = 0; j < P::kStep; ++j) {
      const __m128i shift = _mm_cvtsi32_si128(static_cast<int32_t>(32 / P::kStep * j));
      const __m256 w_left =
          LowestCode<P>(_mm256_srl_epi32(P::LoadWeights(step), shift), zero_point);
      const __m256 w_right = LowestCode<P>(
          _mm256_srl_epi32(P::LoadWeights(step + P::kRegisterBytes), shift), zero_point + 8);
      W8A8_ROWS(W8A8_STEP_FLOATS)
    }
  }
  W8A8_ROWS(W8A8_KEEP_FLOATS)
}

#undef W8A8_ROWS
#undef W8A8_DECLARE
#undef W8A8_STEP
#undef W8A8_KEEP
#undef W8A8_DECLARE_FLOATS
#undef W8A8_STEP_FLOATS
#undef W8A8_KEEP_FLOATS

// The first `count` of eight 16-bit elements.
inline void StoreWords(void* to, int64_t count, __m128i words) {
  if (count >= 8) return _mm_storeu_si128(static_cast<__m128i*>(to), words);
  if (count > 0) __builtin_memcpy(to, &words, static_cast<size_t>(2 * count));
}

// Nearest, ties to even; NaN keeps its upper bits and is quieted.
inline __m128i BFloat16Of(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quieted = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
  const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quieted, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}

// The tiles and vectors of a set, for what is written once for every width of vector.
template <class P>
struct Tiles : P {
  using Code = typename P::Code;
  static constexpr TileSize kTileSize = w8a8::kTileSize;
  static constexpr int64_t kPanel = w8a8::kPanel;
  static constexpr int64_t kTileRows = w8a8::kTileSize.rows;
  static constexpr int64_t kPanelInputs = P::kStep;
  static constexpr int64_t kCodesMultiple =
      64 / static_cast<int64_t>(sizeof(Code));  // a cache line

  using Function = void (*)(const Code*, int64_t, const int8_t*, int64_t, const int32_t*, int32_t*);
  template <int NV>
  static constexpr Function kByRows[kTileRows] = {MultiplyTile<P, 1, NV>, MultiplyTile<P, 2, NV>,
                                                  MultiplyTile<P, 3, NV>, MultiplyTile<P, 4, NV>,
                                                  MultiplyTile<P, 5, NV>, MultiplyTile<P, 6, NV>};
  using FloatFunction = void (*)(const float*, int64_t, const int8_t*, int64_t, const int32_t*,
                                 float*);
  static constexpr FloatFunction kFloatsByRows[kTileRows] = {
      MultiplyFloatTile<P, 1>, MultiplyFloatTile<P, 2>, MultiplyFloatTile<P, 3>,
      MultiplyFloatTile<P, 4>, MultiplyFloatTile<P, 5>, MultiplyFloatTile<P, 6>};

  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* start, int32_t* sums) {
    kByRows<2>[rows - 1](x, x_stride, panel, steps, start, sums);
  }
  static void MultiplyNarrow(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* start, int32_t* sums) {
    kByRows<1>[rows - 1](x, x_stride, panel, steps, start, sums);
  }
  static void MultiplyFloats(int64_t rows, const float* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* zero_point, float* sums) {
    kFloatsByRows[rows - 1](x, x_stride, panel, steps, zero_point, sums);
  }
  static void StoreRow(const StoreArgs& to, int64_t at, int64_t count, __m256 y) {
    switch (to.type) {
      case OutputType::kHalf:
        return StoreWords(static_cast<Half*>(to.y) + at, count,
                          _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
      case OutputType::kBFloat16:
        return StoreWords(static_cast<BFloat16*>(to.y) + at, count, BFloat16Of(y));
      case OutputType::kFloat:
        return Avx2::Store(static_cast<float*>(to.y) + at, count, y);
    }
  }
};

}  // namespace
}  // namespace w8a8
