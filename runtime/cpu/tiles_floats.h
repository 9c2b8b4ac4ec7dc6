// The register tiles of float products once for every width of vector: rows times panels of two
// vectors. Included by the files of one set each. V is that of vector_rows.h, Panel says what the
// operands are: FloatPanel, or one with the same names.
#pragma once

#include <cstdint>

namespace w8a8 {
namespace {

// What an accumulator begins at; kUsed is false of rows that the tile does not have.
enum class StartAt { kZero, kSums };
template <class V, StartAt kStart, bool kUsed>
typename V::Floats Start(const float* sums) {
  if constexpr (kUsed && kStart == StartAt::kSums) return V::Load(sums);
  return V::Splat(0.0f);
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
#define W8A8_DECLARE(r, base)                                                                    \
  [[maybe_unused]] auto left##r = Start<V, kStart, (r < MR)>(sums + r * sums_stride),            \
                        right##r = Start<V, kStart, (r < MR && NV > 1)>(sums + r * sums_stride + \
                                                                        V::kLanes);
#define W8A8_STEP(r, base)                                                     \
  if constexpr (r < MR) {                                                      \
    const auto a = Panel::Broadcast(base + i + (r % 3) * x_stride);            \
    left##r = Panel::MultiplyAdd(a, b_left, left##r);                          \
    if constexpr (NV > 1) right##r = Panel::MultiplyAdd(a, b_right, right##r); \
  }
#define W8A8_KEEP(r, base)                                                        \
  if constexpr (r < MR) {                                                         \
    V::Store(sums + r * sums_stride, left##r);                                    \
    if constexpr (NV > 1) V::Store(sums + r * sums_stride + V::kLanes, right##r); \
  }

// kLanes columns of one step of a panel, and a row's operand for all columns.
template <class V>
struct FloatPanel {
  using Row = float;
  using Element = float;
  static constexpr int64_t kElements = V::kLanes;  // of a register
  static typename V::Floats Load(const float* from) { return V::Load(from); }
  static typename V::Floats Broadcast(const float* x) { return V::Splat(*x); }
  static typename V::Floats MultiplyAdd(typename V::Floats a, typename V::Floats b,
                                        typename V::Floats sum) {
    return V::Fma(a, b, sum);
  }
};

// sums[r][0 .. kLanes NV) = zero or what stands there + the sum over `steps` steps of x[r] * panel,
// ascending, r < MR. A step of a panel has NV registers; panel and sums are aligned, sums_stride
// too.
template <class V, class Panel, int NV, StartAt kStart, int MR>
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

// Those of up to 12 rows; the last ones repeat the largest where V has fewer.
template <class V, class Panel, int NV, StartAt kStart>
struct TileTable {
  using Function = void (*)(const typename Panel::Row*, int64_t, const typename Panel::Element*,
                            int64_t, float*, int64_t);
  template <int64_t kRows>
  static constexpr Function kOf =
      MultiplyTile<V, Panel, NV, kStart, (kRows < V::kTileRows ? kRows : V::kTileRows)>;
  static constexpr Function kByRows[] = {kOf<1>, kOf<2>, kOf<3>, kOf<4>,  kOf<5>,  kOf<6>,
                                         kOf<7>, kOf<8>, kOf<9>, kOf<10>, kOf<11>, kOf<12>};
};

// A set of float products: V with its tiles.
template <class V, int64_t kMostRows, int64_t kRows>
struct FloatSet : V {
  static constexpr int64_t kTileRows = kMostRows;
  static constexpr int64_t kPanel = 2 * V::kLanes;
  static constexpr int64_t kRowsAtOnce = kRows;
  static constexpr auto kFromZero = StartAt::kZero, kFromSums = StartAt::kSums;
  using Panel = FloatPanel<V>;
  template <class P, int kRegisters, StartAt kStart = StartAt::kZero>
  using Tiles = TileTable<FloatSet, P, kRegisters, kStart>;
};

}  // namespace
}  // namespace w8a8
