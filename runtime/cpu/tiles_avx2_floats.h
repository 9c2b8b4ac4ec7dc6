// The register tiles of float products with AVX2, FMA and F16C: binary32 rows times panels of FP16
// or binary32 values. Included by the one file of the set.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// 6 x 16: 12 accumulators, two registers of a panel and a broadcast, 15 of 16.
constexpr int64_t kTileRows = 6;
constexpr int64_t kPanel = 16;

// Named accumulators, cut by MR and NV at compile time: g++ 12 spills those that are an array.
// clang-format off
#define W8A8_ROWS(X) X(0, x0) X(1, x0) X(2, x0) X(3, x3) X(4, x3) X(5, x3)
// clang-format on
#define W8A8_DECLARE(r, base) \
  [[maybe_unused]] __m256 left##r = _mm256_setzero_ps(), right##r = _mm256_setzero_ps();
#define W8A8_STEP(r, base)                                                  \
  if constexpr (r < MR) {                                                   \
    const __m256 a = _mm256_broadcast_ss(base + i + (r % 3) * x_stride);    \
    left##r = _mm256_fmadd_ps(a, b_left, left##r);                          \
    if constexpr (NV > 1) right##r = _mm256_fmadd_ps(a, b_right, right##r); \
  }
#define W8A8_KEEP(r, base)                                                       \
  if constexpr (r < MR) {                                                        \
    _mm256_store_ps(sums + r * sums_stride, left##r);                            \
    if constexpr (NV > 1) _mm256_store_ps(sums + r * sums_stride + 8, right##r); \
  }

struct HalfPanel {
  using Row = float;
  using Element = Half;
  static constexpr int64_t kElements = 8;  // of a register
  static __m256 Load(const Half* from) {
    return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
  }
};

struct FloatPanel : HalfPanel {
  using Element = float;
  static __m256 Load(const float* from) { return _mm256_load_ps(from); }
};

// sums[r][0 .. 8 NV) = sum over `steps` inputs of x[r] * panel, ascending, r < MR. A step of a
// panel has NV registers; panel and sums are aligned, sums_stride too.
template <class Panel, int NV, int MR>
void MultiplyTile(const float* x0, int64_t x_stride, const typename Panel::Element* panel,
                  int64_t steps, float* sums, int64_t sums_stride) {
  [[maybe_unused]] const float* x3 = x0 + 3 * x_stride;
  W8A8_ROWS(W8A8_DECLARE)
  for (int64_t i = 0; i < steps; ++i) {
    const auto* step = panel + NV * Panel::kElements * i;
    const __m256 b_left = Panel::Load(step);
    [[maybe_unused]] const __m256 b_right = Panel::Load(step + (NV - 1) * Panel::kElements);
    W8A8_ROWS(W8A8_STEP)
  }
  W8A8_ROWS(W8A8_KEEP)
}

#undef W8A8_ROWS
#undef W8A8_DECLARE
#undef W8A8_STEP
#undef W8A8_KEEP

template <class Panel, int NV>
struct TileTable {
  using Function = void (*)(const float*, int64_t, const typename Panel::Element*, int64_t, float*,
                            int64_t);
  static constexpr Function kByRows[kTileRows] = {
      MultiplyTile<Panel, NV, 1>, MultiplyTile<Panel, NV, 2>, MultiplyTile<Panel, NV, 3>,
      MultiplyTile<Panel, NV, 4>, MultiplyTile<Panel, NV, 5>, MultiplyTile<Panel, NV, 6>};
};

}  // namespace
}  // namespace w8a8
