// The register tiles of float products with AVX-512: binary32 rows times panels of FP16 or binary32
// values, and BF16 pairs where the CPU has vdpbf16ps. Included by the files of one set each.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// 12 x 32 as the INT8 tiles have it (tiles_avx512vnni.h): 24 accumulators, two registers of a panel
// and a broadcast. A panel of FP16 values is converted once for 12 rows, beside 24 FMAs.
constexpr int64_t kTileRows = 12;
constexpr int64_t kPanel = 32;

// Named accumulators, cut by MR and NV at compile time: g++ 12 spills those that are an array. A
// row's address is one of four pointers plus 0, 1 or 2 strides.
// clang-format off
#define W8A8_ROWS(X)              \
  X(0, x0) X(1, x0) X(2, x0)      \
  X(3, x3) X(4, x3) X(5, x3)      \
  X(6, x6) X(7, x6) X(8, x6)      \
  X(9, x9) X(10, x9) X(11, x9)
// clang-format on
#define W8A8_DECLARE(r, base) \
  [[maybe_unused]] __m512 left##r = _mm512_setzero_ps(), right##r = _mm512_setzero_ps();
#define W8A8_STEP(r, base)                                                     \
  if constexpr (r < MR) {                                                      \
    const auto a = Panel::Broadcast(base + i + (r % 3) * x_stride);            \
    left##r = Panel::MultiplyAdd(a, b_left, left##r);                          \
    if constexpr (NV > 1) right##r = Panel::MultiplyAdd(a, b_right, right##r); \
  }
#define W8A8_KEEP(r, base)                                                        \
  if constexpr (r < MR) {                                                         \
    _mm512_store_ps(sums + r * sums_stride, left##r);                             \
    if constexpr (NV > 1) _mm512_store_ps(sums + r * sums_stride + 16, right##r); \
  }

// Sixteen columns of one step of a panel, and a row's operand for all columns.
struct HalfPanel {
  using Row = float;
  using Element = Half;
  static constexpr int64_t kElements = 16;  // of a register
  static __m512 Load(const Half* from) {
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static __m512 Broadcast(const float* x) { return _mm512_set1_ps(*x); }
  static __m512 MultiplyAdd(__m512 a, __m512 b, __m512 sum) { return _mm512_fmadd_ps(a, b, sum); }
};

struct FloatPanel : HalfPanel {
  using Element = float;
  static __m512 Load(const float* from) { return _mm512_load_ps(from); }
};

#if defined(__AVX512BF16__)
using AliasedPair = uint32_t __attribute__((may_alias));

// Two inputs a step; a row is pairs of BF16.
struct Bf16Panel {
  using Row = uint32_t;
  using Element = BFloat16;
  static constexpr int64_t kElements = 32;
  static __m512bh Load(const BFloat16* from) { return (__m512bh)_mm512_load_si512(from); }
  static __m512bh Broadcast(const uint32_t* x) {
    return (__m512bh)_mm512_set1_epi32(static_cast<int>(*reinterpret_cast<const AliasedPair*>(x)));
  }
  static __m512 MultiplyAdd(__m512bh a, __m512bh b, __m512 sum) {
    return _mm512_dpbf16_ps(sum, a, b);
  }
};
#endif

// sums[r][0 .. 16 NV) = sum over `steps` steps of x[r] * panel, ascending, r < MR. A step of a
// panel has NV registers; panel and sums are aligned, sums_stride too.
template <class Panel, int NV, int MR>
void MultiplyTile(const typename Panel::Row* x0, int64_t x_stride,
                  const typename Panel::Element* panel, int64_t steps, float* sums,
                  int64_t sums_stride) {
  [[maybe_unused]] const auto* x3 = x0 + 3 * x_stride;
  [[maybe_unused]] const auto* x6 = x0 + 6 * x_stride;
  [[maybe_unused]] const auto* x9 = x0 + 9 * x_stride;
  W8A8_ROWS(W8A8_DECLARE)
  for (int64_t i = 0; i < steps; ++i) {
    const auto* step = panel + NV * Panel::kElements * i;
    const auto b_left = Panel::Load(step);
    [[maybe_unused]] const auto b_right = Panel::Load(step + (NV - 1) * Panel::kElements);
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
  using Function = void (*)(const typename Panel::Row*, int64_t, const typename Panel::Element*,
                            int64_t, float*, int64_t);
  static constexpr Function kByRows[kTileRows] = {
      MultiplyTile<Panel, NV, 1>,  MultiplyTile<Panel, NV, 2>,  MultiplyTile<Panel, NV, 3>,
      MultiplyTile<Panel, NV, 4>,  MultiplyTile<Panel, NV, 5>,  MultiplyTile<Panel, NV, 6>,
      MultiplyTile<Panel, NV, 7>,  MultiplyTile<Panel, NV, 8>,  MultiplyTile<Panel, NV, 9>,
      MultiplyTile<Panel, NV, 10>, MultiplyTile<Panel, NV, 11>, MultiplyTile<Panel, NV, 12>};
};

}  // namespace
}  // namespace w8a8
