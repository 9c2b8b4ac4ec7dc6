// Packed weights and the products once for every width of vector, over the tiles of a set. Included
// by the files of the vector sets under the rules of vector_rows.h. V is that of vector_codes.h
// with
//   kTileSize: the set's tile; kStep: the inputs of a column that lie side by side;
//   kPanelInputs: a panel's inputs are padded to a multiple of it.
//   kCodesMultiple: rows of codes are padded to a multiple of it.
//   Multiply(rows, x, x_stride, panel, steps, start, sums): sums [rows, panel_cols] = `start`
//     [panel_cols] + the products of kStep * steps stored codes.
//   MultiplyFloats(rows, x, x_stride, panel, steps, zero_point, sums): the same of binary32 rows
//     with float(code - zero_point [panel_cols]), from 0, fused, k ascending.
//   StoreRow(to, at, count, y): the first `count` of kLanes results at element `at` of `to`.
#pragma once

#include <cstdint>

#include "runtime/cpu/caches.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/vector_codes.h"

namespace w8a8 {

template <class V>
struct VectorProducts {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  using Code = typename V::Code;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kCodeBytes = sizeof(Code);
  static constexpr int64_t kPanel = V::kTileSize.cols;
  static constexpr int64_t kTile = V::kTileSize.rows;

  // Rows [row, row + rows) of one panel, whose columns begin at `col`.
  struct Tile {
    int64_t row, rows, col;
  };

  static int64_t Panels(int64_t n) { return (n + kPanel - 1) / kPanel; }
  static int64_t PanelBytes(int64_t k) {
    return kPanel * ((k + V::kPanelInputs - 1) / V::kPanelInputs * V::kPanelInputs);
  }
  static int64_t PackedBytes(int64_t n, int64_t k) { return Panels(n) * PanelBytes(k); }

  static int64_t BlockRows(int64_t m, int64_t row_bytes, int64_t k) {
    const ProductSize size = {.m = m,
                              .row_bytes = row_bytes,
                              .steps = (k + V::kStep - 1) / V::kStep,
                              .step_bytes = kPanel * V::kStep};
    return BlockingOf(size, V::kTileSize, CachesOfCore()).rows;
  }

  // [panel][k / kStep][kPanel columns][kStep inputs]; columns past n and inputs past k stay zero.
  static void PackWeights(const PackWeightsArgs& args) {
    constexpr int64_t kStep = V::kStep;
    for (int64_t n = 0; n < args.n; ++n) {
      int8_t* column =
          static_cast<int8_t*>(args.packed) + n / kPanel * PanelBytes(args.k) + n % kPanel * kStep;
      for (int64_t k = 0; k < args.k; ++k) {
        column[k / kStep * kStep * kPanel + k % kStep] = args.codes[n * args.k + k];
      }
    }
  }

  // Where the panel's columns stand in a vector by group and column.
  static int64_t At(const GroupedWeights& weight, const Tile& tile, int64_t group) {
    return group * Panels(weight.n) * kPanel + tile.col;
  }
  static int64_t Steps(const GroupedWeights& weight, int64_t group) {
    const int64_t begin = group * weight.group_stride;
    const int64_t left = weight.k - begin;
    return ((left < weight.group_stride ? left : weight.group_stride) + V::kStep - 1) / V::kStep;
  }
  static const int8_t* Panel(const GroupedWeights& weight, const Tile& tile, int64_t group) {
    return static_cast<const int8_t*>(weight.packed) + tile.col / kPanel * PanelBytes(weight.k) +
           group * weight.group_stride * kPanel;
  }

  // What the accumulators begin at: stored codes are kCodeShift too large.
  static void Start(const int32_t* code_sum, int32_t* start) {
    for (int64_t c = 0; c < kPanel; c += kLanes) {
      V::Store(start + c, V::Load(code_sum + c) * -V::kCodeShift);
    }
  }

  // sum cx cw - z sum (cw - zp) - zp sum cx, modulo 2^32 on the way.
  static void TakeOffZeroPoints(const GemmGroupsArgs& args, const Tile& tile, int64_t group,
                                int32_t* sums) {
    const GroupedWeights& weight = *args.weight;
    const int64_t at = At(weight, tile, group);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t row = tile.row + r;
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        Ints sum = V::Load(sums + r * kPanel + c);
        if (args.zero_point_x != nullptr) {
          sum -= V::Load(weight.centred_sum + at + c) * args.zero_point_x[row];
        }
        if (weight.zero_point != nullptr) {
          const int32_t code_sum = args.code_sum_x[row * weight.groups + group];
          sum -= V::Load(weight.zero_point + at + c) * code_sum;
        }
        V::Store(sums + r * kPanel + c, sum);
      }
    }
  }

  static void KeepSums(const GemmGroupsArgs& args, const Tile& tile, int64_t group,
                       const int32_t* sums) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      int32_t* acc = args.to.acc + (group * args.m + tile.row + r) * args.to.acc_stride + tile.col;
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const auto lanes = V::FirstLanes(args.weight->n - tile.col - c);
        V::Store(acc + c, lanes, V::Load(sums + r * kPanel + c));
      }
    }
  }

  template <ScaledBy kBy>
  static void AddGroup(const GemmGroupsArgs& args, const Tile& tile, int64_t group,
                       const int32_t* sums, float* totals) {
    const float* scale_x = args.scale_x + tile.row * args.weight->groups + group;
    for (int64_t c = 0; c < kPanel; c += kLanes) {
      Floats scale_w = V::Splat(1.0f);
      if constexpr (kBy != ScaledBy::kInputs) {
        scale_w = V::Load(args.weight->scale + At(*args.weight, tile, group) + c);
      }
      for (int64_t r = 0; r < tile.rows; ++r) {
        Floats acc = V::ToFloats(V::Load(sums + r * kPanel + c));
        Floats factor = scale_w;
        if constexpr (kBy == ScaledBy::kBoth) acc = acc * scale_x[r * args.weight->groups];
        if constexpr (kBy == ScaledBy::kInputs) factor = V::Splat(scale_x[r * args.weight->groups]);
        float* total = totals + r * kPanel + c;
        V::Store(total, V::Fma(acc, factor, V::Load(total)));
      }
    }
  }

  // y = fma(total, factor, bias): `factor` by row, by column, or 1 (an addition).
  static void Finish(const GroupedWeights& weight, const StoreArgs& to, const Tile& tile,
                     const float* totals, const float* by_row, const float* by_column) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const int64_t col = tile.col + c;
        Floats factor = V::Splat(by_row != nullptr ? by_row[tile.row + r] : 1.0f);
        if (by_column != nullptr) factor = V::Load(by_column + col);
        const Floats y =
            V::Fma(V::Load(totals + r * kPanel + c), factor, V::Load(weight.bias + col));
        V::StoreRow(to, (tile.row + r) * to.y_stride + col, weight.n - col, y);
      }
    }
    ThroughCodes(to, tile, weight.n);
  }

  // The tile's FP16 results, while they are in the first-level cache.
  static void ThroughCodes(const StoreArgs& to, const Tile& tile, int64_t n) {
    if (to.through == nullptr) return;
    QuantizeOutputsArgs args = *to.through;
    args.y = static_cast<Half*>(to.y) + tile.row * to.y_stride + tile.col;
    args.y_stride = to.y_stride;
    args.rows = tile.rows;
    args.cols = n - tile.col < kPanel ? n - tile.col : kPanel;
    if (args.codes != nullptr) args.codes += tile.row * args.codes_stride + tile.col;
    VectorCodes<V>::QuantizeOutputs(args);
  }

  // ---- one group ----

  // The lines that the tile's results go to, asked for before its sums are made: rows of y are
  // pages apart, and stores that wait for them hold up the next tile (1 to 6 % of a product's
  // time). Inlined, because g++ drops calls of a function that does nothing else.
  [[gnu::always_inline]] static void FetchResults(const StoreArgs& to, const Tile& tile) {
    const int64_t bytes = to.type == OutputType::kFloat ? 4 : 2;
    const char* y = static_cast<const char*>(to.y) + (tile.row * to.y_stride + tile.col) * bytes;
    for (int64_t r = 0; r < tile.rows; ++r, y += to.y_stride * bytes) {
      __builtin_prefetch(y, 1);
      __builtin_prefetch(y + kPanel * bytes - 1, 1);
    }
  }

  // kLanes columns of row `row` from `col`, whose sums stand at `sums`.
  static void StoreColumns(const GemmS8Args& args, const int32_t* sums, int64_t row, int64_t col) {
    const Ints acc = V::Load(sums);
    if (args.to.acc != nullptr) {
      V::Store(args.to.acc + row * args.to.acc_stride + col, V::FirstLanes(args.n - col), acc);
    }
    const Floats scaled = V::ToFloats(acc) * V::Load(args.scale_w + col);
    const Floats y = V::Fma(scaled, V::Splat(args.scale_x[row]), V::Load(args.bias + col));
    V::StoreRow(args.to, row * args.to.y_stride + col, args.n - col, y);
  }

  static void RunTile(const GemmS8Args& args, const Tile& tile) {
    const auto* x = static_cast<const Code*>(args.x_codes) + tile.row * args.x_stride;
    const auto* panel =
        static_cast<const int8_t*>(args.packed_weight) + tile.col / kPanel * PanelBytes(args.k);
    alignas(64) int32_t start[kPanel] = {};
    alignas(64) int32_t sums[kTile * kPanel];
    FetchResults(args.to, tile);
    if constexpr (V::kCodeShift != 0) Start(args.code_sum_w + tile.col, start);
    V::Multiply(tile.rows, x, args.x_stride, panel, (args.k + V::kStep - 1) / V::kStep, start,
                sums);
    for (int64_t r = 0; r < tile.rows; ++r) {
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        StoreColumns(args, sums + r * kPanel + c, tile.row + r, tile.col + c);
      }
    }
    ThroughCodes(args.to, tile, args.n);
  }

  static void GemmS8(const GemmS8Args& args) {
    const int64_t block = BlockRows(args.m, args.x_stride * kCodeBytes, args.k);
    ForEachTile(args.m, Panels(args.n), block, kTile,
                [&args](int64_t row, int64_t rows, int64_t panel) {
                  RunTile(args, {row, rows, panel * kPanel});
                });
  }

  // ---- groups ----

  template <ScaledBy kBy>
  static void RunTile(const GemmGroupsArgs& args, const Tile& tile) {
    const GroupedWeights& weight = *args.weight;
    const bool zero_points = args.zero_point_x != nullptr || weight.zero_point != nullptr;
    const auto* x = static_cast<const Code*>(args.x_codes) + tile.row * args.x_stride;
    alignas(64) int32_t start[kPanel] = {}, sums[kTile * kPanel];
    alignas(64) float totals[kTile * kPanel] = {};
    for (int64_t g = 0; g < weight.groups; ++g) {
      if constexpr (V::kCodeShift != 0) Start(weight.code_sum + At(weight, tile, g), start);
      V::Multiply(tile.rows, x + g * weight.group_stride, args.x_stride, Panel(weight, tile, g),
                  Steps(weight, g), start, sums);
      if (zero_points) TakeOffZeroPoints(args, tile, g, sums);
      if (args.to.acc != nullptr) KeepSums(args, tile, g, sums);
      AddGroup<kBy>(args, tile, g, sums, totals);
    }
    Finish(weight, args.to, tile, totals, kBy == ScaledBy::kWeights ? args.scale_x : nullptr,
           kBy == ScaledBy::kInputs ? weight.scale : nullptr);
  }

  template <ScaledBy kBy>
  static void GemmGroupsBy(const GemmGroupsArgs& args) {
    const int64_t block = BlockRows(args.m, args.x_stride * kCodeBytes, args.weight->k);
    ForEachTile(args.m, Panels(args.weight->n), block, kTile,
                [&args](int64_t row, int64_t rows, int64_t panel) {
                  RunTile<kBy>(args, {row, rows, panel * kPanel});
                });
  }

  static void GemmGroups(const GemmGroupsArgs& args) {
    switch (args.scaled_by) {
      case ScaledBy::kWeights:
        return GemmGroupsBy<ScaledBy::kWeights>(args);
      case ScaledBy::kInputs:
        return GemmGroupsBy<ScaledBy::kInputs>(args);
      case ScaledBy::kBoth:
        return GemmGroupsBy<ScaledBy::kBoth>(args);
    }
  }

  // ---- weight-only ----

  static void RunFloatTile(const GemmW8Args& args, const Tile& tile) {
    const GroupedWeights& weight = *args.weight;
    const float* x = args.x + tile.row * args.x_stride;
    alignas(64) const int32_t zeros[kPanel] = {};
    alignas(64) float sums[kTile * kPanel];
    alignas(64) float totals[kTile * kPanel] = {};
    for (int64_t g = 0; g < weight.groups; ++g) {
      const int64_t at = At(weight, tile, g);
      V::MultiplyFloats(tile.rows, x + g * weight.group_stride, args.x_stride,
                        Panel(weight, tile, g), Steps(weight, g),
                        weight.zero_point != nullptr ? weight.zero_point + at : zeros, sums);
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const Floats scale = V::Load(weight.scale + at + c);
        for (int64_t i = c; i < tile.rows * kPanel; i += kPanel) {
          V::Store(totals + i, V::Fma(V::Load(sums + i), scale, V::Load(totals + i)));
        }
      }
    }
    Finish(weight, args.to, tile, totals, nullptr, nullptr);
  }

  static void GemmW8(const GemmW8Args& args) {
    const int64_t row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
    const int64_t block = BlockRows(args.m, row_bytes, args.weight->k);
    ForEachTile(args.m, Panels(args.weight->n), block, kTile,
                [&args](int64_t row, int64_t rows, int64_t panel) {
                  RunFloatTile(args, {row, rows, panel * kPanel});
                });
  }

  static constexpr Int8Kernels Table() {
    return {.code_bytes = kCodeBytes,
            .k_step = V::kStep,
            .k_multiple = V::kCodesMultiple,
            .n_multiple = kPanel,
            .uses_column_sums = V::kCodeShift != 0,
            .begin_worker = nullptr,
            .end_worker = nullptr,
            .quantize_rows = VectorCodes<V>::QuantizeRows,
            .transform_row = VectorCodes<V>::TransformRow,
            .finite_range = VectorCodes<V>::FiniteRange,
            .encode = VectorCodes<V>::Encode,
            .unpack_codes = VectorCodes<V>::UnpackCodes,
            .packed_bytes = PackedBytes,
            .pack_weights = PackWeights,
            .gemm_s8 = GemmS8,
            .gemm_groups = GemmGroups,
            .gemm_w8 = GemmW8,
            .quantize_outputs = VectorCodes<V>::QuantizeOutputs};
  }
};

}  // namespace w8a8
