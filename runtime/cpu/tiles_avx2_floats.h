// The register tiles of float products with AVX2, FMA and F16C: binary32 rows times
// binary32 panels. Included by the one file of the set.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// 6 x 16: 12 accumulators, two registers of a panel and a broadcast, 15 of 16.
constexpr int64_t kTileRows = 6;
constexpr int64_t kPanel = 16;

using Register = __m256;
constexpr int64_t kRegister = 8;

// What an accumulator begins at; kUsed is false of rows that the tile does not have.
enum class StartAt { kZero, kSums };
template <StartAt kStart, bool kUsed>
Register Start(const float* sums) {
  if constexpr (kUsed && kStart == StartAt::kSums) return _mm256_load_ps(sums);
  return _mm256_setzero_ps();
}

// Named accumulators, cut by MR and NV at compile time: g++ 12 spills those that are an array.
// clang-format off
#define W8A8_ROWS(X) X(0, x0) X(1, x0) X(2, x0) X(3, x3) X(4, x3) X(5, x3)
// clang-format on
#define W8A8_DECLARE(r, base)                                                                     \
  [[maybe_unused]] Register left##r = Start<kStart, (r < MR)>(sums + r * sums_stride),            \
                            right##r = Start<kStart, (r < MR && NV > 1)>(sums + r * sums_stride + \
                                                                         kRegister);
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

struct FloatPanel {
  using Row = float;
  using Element = float;
  static constexpr int64_t kElements = 8;  // of a register
  static __m256 Load(const float* from) { return _mm256_load_ps(from); }
};

// sums[r][0 .. 8 NV) = zero or what stands there + the sum over `steps` inputs of x[r] * panel,
// ascending, r < MR. A step of a panel has NV registers; panel and sums are aligned, sums_stride
// too.
template <class Panel, int NV, StartAt kStart, int MR>
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

template <class Panel, int NV, StartAt kStart = StartAt::kZero>
struct TileTable {
  using Function = void (*)(const float*, int64_t, const typename Panel::Element*, int64_t, float*,
                            int64_t);
  static constexpr Function kByRows[kTileRows] = {
      MultiplyTile<Panel, NV, kStart, 1>, MultiplyTile<Panel, NV, kStart, 2>,
      MultiplyTile<Panel, NV, kStart, 3>, MultiplyTile<Panel, NV, kStart, 4>,
      MultiplyTile<Panel, NV, kStart, 5>, MultiplyTile<Panel, NV, kStart, 6>};
};

}  // namespace
}  // namespace w8a8
