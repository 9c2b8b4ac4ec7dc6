// Float products once for every width of vector, over the tiles of a set. Included by the files of
// the vector sets under the rules of vector_rows.h. V is that header's with the set's tiles:
//   kTileRows, kPanel: rows of a tile and columns of a panel.
//   kRowsAtOnce: of operands that are multiplied together.
//   Panel, Tiles<Panel, registers, StartAt>: binary32 panels and their tiles, by rows.
// Operands are binary32 rows; weights panels [n / kPanel][k][kPanel] of FP16 or binary32.
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
  static constexpr int64_t kTile = V::kTileRows;
  static constexpr bool kWiden = sizeof(Element) < sizeof(float);
  // Inputs that pass together: kRowsAtOnce rows of so many and a panel of them in binary32 stay in
  // the second-level cache (AVX-512: 442 + 147 KB of 1 MiB; AVX2: 221 + 74 KB of 512 KiB).
  static constexpr int64_t kInputs = 1152;

  static int64_t Panels(int64_t n) { return (n + kPanel - 1) / kPanel; }
  // An odd number of cache lines: rows a power of two apart would meet in the same sets of the
  // first-level cache (K = 1,024: 0.78 of the FMA peak instead of 0.9).
  static int64_t OperandBytes(int64_t k) { return ((k * 4 + 63) / 64 | 1) * 64; }
  static int64_t PackedBytes(int64_t n, int64_t k) {
    return Panels(n) * kPanel * k * static_cast<int64_t>(sizeof(Element));
  }
  // A panel in binary32, and the sums of all panels where the inputs come in parts.
  static int64_t ScratchBytes(int64_t m, int64_t n, int64_t k) {
    const int64_t rows = m * (k > kInputs ? Panels(n) : 1);
    return (kInputs + rows) * kPanel * static_cast<int64_t>(sizeof(float));
  }

  template <class T>
  static void LoadRow(const T* x, int64_t k, void* operand) {
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

  // Inputs [first, first + count) of all rows and one panel.
  struct Part {
    int64_t panel, first, count;
    float* sums;  // [m, kPanel]
  };

  // A conversion beside every 12 FMAs costs 5 to 10 % of them: once for all rows costs nothing.
  static const float* Widened(const MultiplyFloatsArgs& args, const Part& part) {
    const auto* packed = static_cast<const Element*>(args.packed_weight) +
                         (part.panel * args.k + part.first) * kPanel;
    if constexpr (kWiden) {
      auto* to = static_cast<float*>(args.scratch);
      for (int64_t i = 0; i < part.count * kPanel; i += kLanes) {
        V::Store(to + i, V::Load(packed + i, V::FirstLanes(kLanes)));
      }
      return to;
    } else {
      return packed;
    }
  }

  template <auto kStart>
  static void AddPart(const MultiplyFloatsArgs& args, const Part& part) {
    using Tiles = typename V::template Tiles<typename V::Panel, kPanel / kLanes, kStart>;
    const float* weight = Widened(args, part);
    const int64_t stride = args.x_stride_bytes / static_cast<int64_t>(sizeof(float));
    const auto* x = static_cast<const float*>(args.x) + part.first;
    for (int64_t row = 0; row < args.m;) {
      const int64_t rows = RowsOfTile(args.m - row, kTile);
      Tiles::kByRows[rows - 1](x + row * stride, stride, weight, part.count,
                               part.sums + row * kPanel, kPanel);
      row += rows;
    }
  }

  static void StoreSums(const MultiplyFloatsArgs& args, const Part& part) {
    for (int64_t c = 0; c < kPanel; c += kLanes) {
      const int64_t col = part.panel * kPanel + c;
      const auto lanes = V::FirstLanes(args.n - col);
      if (col >= args.n) return;
      const Floats bias = args.bias != nullptr ? V::Load(args.bias + col, lanes) : V::Splat(0.0f);
      for (int64_t row = 0; row < args.m; ++row) {
        const Floats y = V::Load(part.sums + row * kPanel + c) + bias;
        const int64_t at = row * args.y_stride + col;
        if (args.type == OutputType::kHalf) {
          V::Store(static_cast<Half*>(args.y) + at, lanes, y);
        } else {
          V::Store(static_cast<float*>(args.y) + at, lanes, y);
        }
      }
    }
  }

  static void Multiply(const MultiplyFloatsArgs& args) {
    auto* sums = static_cast<float*>(args.scratch) + kInputs * kPanel;
    const bool in_parts = args.k > kInputs;
    for (int64_t first = 0; first < args.k; first += kInputs) {
      const int64_t left = args.k - first;
      const int64_t count = left < kInputs ? left : kInputs;
      for (int64_t panel = 0; panel < Panels(args.n); ++panel) {
        const Part part = {panel, first, count, sums + (in_parts ? panel * args.m * kPanel : 0)};
        if (first == 0) {
          AddPart<V::kFromZero>(args, part);
        } else {
          AddPart<V::kFromSums>(args, part);
        }
        if (count == left) StoreSums(args, part);
      }
    }
  }

  static constexpr FloatProduct Product(const char* name) {
    return {.name = name,
            .operand_bytes = OperandBytes,
            .packed_bytes = PackedBytes,
            .rows_at_once = V::kRowsAtOnce,
            .scratch_bytes = ScratchBytes,
            .load_halves = LoadRow<Half>,
            .load_floats = LoadRow<float>,
            .pack = Pack,
            .multiply = Multiply};
  }
};

}  // namespace w8a8
