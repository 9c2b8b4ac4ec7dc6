// Float products once for every width of vector, over the tiles of a set. Included by the files of
// the vector sets under the rules of vector_rows.h. V is that header's with the set's tiles:
//   kTileRows, kPanel: rows of a tile and columns of a panel.
//   kLevelTwoBytes: of operands that are worth loading at once.
//   Panel<Element>, Tiles<Panel, registers>: the tiles of such panels, by rows.
// Operands are binary32 rows; panels [n / kPanel][k][kPanel] of FP16 or binary32.
#pragma once

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/gemm_tiles.h"

namespace w8a8 {

template <class V, class Element>
struct VectorFloats {
  using Floats = typename V::Floats;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kPanel = V::kPanel;
  using Tiles = typename V::template Tiles<typename V::template Panel<Element>, kPanel / kLanes>;

  static int64_t Panels(int64_t n) { return (n + kPanel - 1) / kPanel; }
  static int64_t OperandBytes(int64_t k) { return (k * 4 + 63) / 64 * 64; }
  static int64_t PackedBytes(int64_t n, int64_t k) {
    return Panels(n) * kPanel * k * static_cast<int64_t>(sizeof(Element));
  }
  static int64_t RowsAtOnce(int64_t k) {
    const int64_t fitting = V::kLevelTwoBytes / OperandBytes(k) / V::kTileRows * V::kTileRows;
    return fitting < V::kTileRows ? V::kTileRows : fitting;
  }

  static void LoadHalves(const Half* x, int64_t k, void* operand) {
    auto* to = static_cast<float*>(operand);
    for (int64_t i = 0; i < k; i += kLanes) {
      const auto lanes = V::FirstLanes(k - i);
      V::Store(to + i, lanes, V::Load(x + i, lanes));
    }
  }

  static void LoadFloats(const float* x, int64_t k, void* operand) {
    auto* to = static_cast<float*>(operand);
    for (int64_t i = 0; i < k; i += kLanes) {
      const auto lanes = V::FirstLanes(k - i);
      V::Store(to + i, lanes, V::Load(x + i, lanes));
    }
  }

  // Columns past n are zeros.
  static void Pack(const float* weight, int64_t n, int64_t k, void* packed) {
    auto* to = static_cast<Element*>(packed);
    for (int64_t first = 0; first < n; first += kPanel) {
      const int64_t cols = n - first < kPanel ? n - first : kPanel;
      alignas(64) float step[kPanel] = {};
      for (int64_t i = 0; i < k; ++i, to += kPanel) {
        for (int64_t c = 0; c < cols; ++c) step[c] = weight[(first + c) * k + i];
        for (int64_t c = 0; c < kPanel; c += kLanes) {
          V::Store(to + c, V::FirstLanes(kLanes), V::Load(step + c));
        }
      }
    }
  }

  static void StoreRow(const MultiplyFloatsArgs& args, int64_t row, int64_t col, Floats y) {
    const auto lanes = V::FirstLanes(args.n - col);
    const int64_t at = row * args.y_stride + col;
    if (args.bias != nullptr) y = y + V::Load(args.bias + col, lanes);
    if (args.type == OutputType::kHalf) return V::Store(static_cast<Half*>(args.y) + at, lanes, y);
    V::Store(static_cast<float*>(args.y) + at, lanes, y);
  }

  static void RunTile(const MultiplyFloatsArgs& args, int64_t row, int64_t rows, int64_t panel) {
    alignas(64) float sums[V::kTileRows * kPanel];
    const auto* x = reinterpret_cast<const float*>(static_cast<const char*>(args.x) +
                                                   row * args.x_stride_bytes);
    const auto* weight = static_cast<const Element*>(args.packed_weight) + panel * kPanel * args.k;
    Tiles::kByRows[rows - 1](x, args.x_stride_bytes / 4, weight, args.k, sums, kPanel);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < kPanel && panel * kPanel + c < args.n; c += kLanes) {
        StoreRow(args, row + r, panel * kPanel + c, V::Load(sums + r * kPanel + c));
      }
    }
  }

  static void Multiply(const MultiplyFloatsArgs& args) {
    const GemmTuning tuning = {.tile_rows = V::kTileRows,
                               .panel_cols = kPanel,
                               .k_multiple = 1,
                               .block_bytes = V::kLevelTwoBytes};
    ForEachTile(
        args.m, Panels(args.n), args.x_stride_bytes, tuning,
        [&args](int64_t row, int64_t rows, int64_t panel) { RunTile(args, row, rows, panel); });
  }

  static constexpr FloatProduct Product(const char* name) {
    return {.name = name,
            .operand_bytes = OperandBytes,
            .packed_bytes = PackedBytes,
            .rows_at_once = RowsAtOnce,
            .load_halves = LoadHalves,
            .load_floats = LoadFloats,
            .pack = Pack,
            .multiply = Multiply};
  }
};

}  // namespace w8a8
