// The register tiles of float products with AVX-512: binary32 rows times binary32 panels, and BF16
// pairs where the CPU has vdpbf16ps. Included by the files of one set each.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// 12 x 32 as the INT8 tiles have it (tiles_avx512vnni.h): 24 accumulators, two registers of a panel
// and a broadcast.
constexpr int64_t kTileRows = 12;
constexpr int64_t kPanel = 32;

using Register = __m512;
constexpr int64_t kRegister = 16;

// What an accumulator begins at; kUsed is false of rows that the tile does not have.
enum class StartAt { kZero, kSums };
template <StartAt kStart, bool kUsed>
Register Start(const float* sums) {
  if constexpr (kUsed && kStart == StartAt::kSums) return _mm512_load_ps(sums);
  return _mm512_setzero_ps();
}

// Named accumulators, cut by MR and NV at compile time: g++ 12 spills those that are an array. A
// row's address is one of four pointers plus 0, 1 or 2 strides.
// clang-format off
#define W8A8_ROWS(X)              \
  X(0, x0) X(1, x0) X(2, x0)      \
  X(3, x3) X(4, x3) X(5, x3)      \
  X(6, x6) X(7, x6) X(8, x6)      \
  X(9, x9) X(10, x9) X(11, x9)
// clang-format on
#define W8A8_DECLARE(r, base)                                                                     \
  [[maybe_unused]] Register left##r = Start<kStart, (r < MR)>(sums + r * sums_stride),            \
                            right##r = Start<kStart, (r < MR && NV > 1)>(sums + r * sums_stride + \
                                                                         kRegister);
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
struct FloatPanel {
  using Row = float;
  using Element = float;
  static constexpr int64_t kElements = 16;  // of a register
  static __m512 Load(const float* from) { return _mm512_load_ps(from); }
  static __m512 Broadcast(const float* x) { return _mm512_set1_ps(*x); }
  static __m512 MultiplyAdd(__m512 a, __m512 b, __m512 sum) { return _mm512_fmadd_ps(a, b, sum); }
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

// sums[r][0 .. 16 NV) = zero or what stands there + the sum over `steps` steps of x[r] * panel,
// ascending, r < MR. A step of a panel has NV registers; panel and sums are aligned, sums_stride
// too.
template <class Panel, int NV, StartAt kStart, int MR>
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

template <class Panel, int NV, StartAt kStart = StartAt::kZero>
struct TileTable {
  using Function = void (*)(const typename Panel::Row*, int64_t, const typename Panel::Element*,
                            int64_t, float*, int64_t);
  static constexpr Function kByRows[kTileRows] = {
      MultiplyTile<Panel, NV, kStart, 1>,  MultiplyTile<Panel, NV, kStart, 2>,
      MultiplyTile<Panel, NV, kStart, 3>,  MultiplyTile<Panel, NV, kStart, 4>,
      MultiplyTile<Panel, NV, kStart, 5>,  MultiplyTile<Panel, NV, kStart, 6>,
      MultiplyTile<Panel, NV, kStart, 7>,  MultiplyTile<Panel, NV, kStart, 8>,
      MultiplyTile<Panel, NV, kStart, 9>,  MultiplyTile<Panel, NV, kStart, 10>,
      MultiplyTile<Panel, NV, kStart, 11>, MultiplyTile<Panel, NV, kStart, 12>};
};

}  // namespace
}  // namespace w8a8
