// The order in which products on AMX tiles visit their blocks, and the loop that multiplies one.
// Included by files that are compiled for AMX. Operands are bytes: rows of x [steps][parts][64] and
// panels of 32 columns [steps][parts][16][32 columns][4 bytes]. What the bytes are is the template
// arguments' to know:
//   Op: UpperLeft(), UpperRight(), LowerLeft(), LowerRight(): registers 0 to 3 += 4 and 5 times 6
//     and 7. kParts: of a value, 1 or 2; every part of a row is multiplied by every part of a
//     column.
//   Results: `Pending Begin(const Block&)` for a block whose sums are whole, and `End(const
//     Block&)` once its Pending has stored the last row. A Pending has `rows` that are left and
//     StoreRows(n). `int64_t Bytes()` of all results, `ResultRows Rows(const Block&)` of a block's.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/tiles_amx.h"

namespace w8a8 {
namespace {

template <class Op>
inline constexpr int64_t kRowStep = kTileBytes* Op::kParts;  // bytes of a row for a step
template <class Op>
inline constexpr int64_t kPanelStep = kStepWeights* Op::kParts;

struct TileOperands {
  int64_t m, panels;
  int64_t steps;  // 64 bytes of a row and each part
  const void* x;
  int64_t x_stride;  // bytes
  const void* weights;
  void* scratch = nullptr;  // [panels, rows of a block, 32] sums; nullptr: none wait for all
};

// Up to 32 rows by 32 columns over some of the inputs. The second tile of rows ends with the last
// row and overlaps the first, so that no row past the last is read; so does a lone tile of a block
// of fewer rows, with rows before it.
struct Block {
  const uint8_t* upper;   // the first row of the upper tiles
  const uint8_t* lower;   // of the lower tiles; one tile of rows: the upper
  const int8_t* weights;  // of the first inputs
  int64_t steps;
  const void* begin;       // [32, 32]: the sums so far; nullptr: there are none
  void* sums;              // [32, 32]
  int64_t lower_at;        // bytes to the lower tiles' sums
  int64_t row, rows, col;  // of the results
  int64_t first;           // the sums' row of the first result
  int32_t tiles;           // of rows: 1 or 2
  bool whole;              // the sums, with this block
};

// Weights of the next panel, fetched into the second-level cache a few lines a step: bursts of them
// hurt, and without them the panel comes from the third level.
struct Ahead {
  const int8_t* line = nullptr;
  const int8_t* end = nullptr;
  int64_t lines = 0;  // a step
};

// Rows of a block's results, a panel wide, to be fetched into the second-level cache while the
// block is multiplied. A row that is not aligned ends in a line of its own; the one that it begins
// in was the panel's before.
struct ResultRows {
  const char* last_byte = nullptr;  // of the first row
  int64_t stride = 0;               // bytes
  int64_t lines = 0;                // of a row
  int64_t rows = 0;                 // that are left

  [[gnu::always_inline]] void Fetch(int64_t count) {
    for (; count > 0 && rows > 0; --count, --rows, last_byte += stride) {
      for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(last_byte - 64 * i, 0, 2);
    }
  }
};

template <class Element>
ResultRows ResultRowsOf(const Block& block, void* y, int64_t y_stride) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Element));
  const int64_t stride = y_stride * kBytes;
  const char* first = static_cast<const char*>(y) + block.row * stride + block.col * kBytes;
  return {first + kPanel * kBytes - 1, stride, kPanel * kBytes / 64, block.rows};
}

// A store waits for its line. In a forward, what the second-level cache does not hold comes from
// memory: so400m's fc1 took 2.1 times as long as with the lines fetched ahead, qkv 1.8 times, and
// base/16's the same (Emerald Rapids). Where a product of 12 MB runs alone, again and again,
// fetching them takes 5 % from it.
template <class Op, class Results>
bool PassesSecondLevel(const TileOperands& operands, const Results& results) {
  const int64_t weights = operands.panels * operands.steps * kPanelStep<Op>;
  const int64_t bytes = operands.m * operands.x_stride + weights;
  return bytes + results.Bytes() > CachesOfCore().second;
}

// Rows of x are streamed past the first-level cache (TILELOADDT1), which is the weights': 92 % of
// the tdpbssd peak in this loop instead of 71.
[[gnu::always_inline]] inline void LoadFirstTiles(const Block& block, int64_t x_stride) {
  _tile_stream_loadd(4, block.upper, x_stride);
  _tile_loadd(6, block.weights, kPanelStride);
  _tile_loadd(7, block.weights + 64, kPanelStride);
  _tile_stream_loadd(5, block.lower, x_stride);
}

[[gnu::always_inline]] inline void BeginSums(const Block& block) {
  if (block.begin == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  const auto* upper = static_cast<const uint8_t*>(block.begin);
  const uint8_t* lower = upper + block.lower_at;
  _tile_loadd(0, upper, kPanelStride);
  _tile_loadd(1, upper + 64, kPanelStride);
  _tile_loadd(2, lower, kPanelStride);
  _tile_loadd(3, lower + 64, kPanelStride);
}

template <int kTiles>
[[gnu::always_inline]] inline void StoreSums(const Block& block) {
  auto* upper = static_cast<uint8_t*>(block.sums);
  _tile_stored(0, upper, kPanelStride);
  _tile_stored(1, upper + 64, kPanelStride);
  if constexpr (kTiles == 2) {
    _tile_stored(2, upper + block.lower_at, kPanelStride);
    _tile_stored(3, upper + block.lower_at + 64, kPanelStride);
  }
}

template <class Op, int kTiles>
[[gnu::always_inline]] inline void MultiplyLower() {
  if constexpr (kTiles == 2) {
    Op::LowerLeft();
    Op::LowerRight();
  }
}

// What is left of a step whose first parts are multiplied and still in the registers. 10 loads for
// 16 products, where each pair of parts by itself would load 16.
template <class Op, int kTiles>
[[gnu::always_inline]] inline void MultiplyOtherParts(const uint8_t* upper, const uint8_t* lower,
                                                      const int8_t* weights, int64_t x_stride) {
  if constexpr (Op::kParts == 2) {
    _tile_loadd(6, weights + kStepWeights, kPanelStride);
    Op::UpperLeft();
    _tile_loadd(7, weights + kStepWeights + 64, kPanelStride);
    Op::UpperRight();
    MultiplyLower<Op, kTiles>();
    _tile_stream_loadd(4, upper + kTileBytes, x_stride);
    Op::UpperLeft();
    Op::UpperRight();
    if constexpr (kTiles == 2) _tile_stream_loadd(5, lower + kTileBytes, x_stride);
    MultiplyLower<Op, kTiles>();
    _tile_loadd(6, weights, kPanelStride);
    Op::UpperLeft();
    _tile_loadd(7, weights + 64, kPanelStride);
    Op::UpperRight();
    MultiplyLower<Op, kTiles>();
  }
}

// The tiles of the block's first step are loaded and its sums begun; leaves those of `next` so.
// Loading them before the sums are stored takes the loop from 86 to 93 % of the peak; the results
// of the block before, stored between the steps, cost 6 to 10 points less than in one piece.
template <class Op, int kTiles, bool kFetches, class Pending>
void RunBlock(const Block& block, const Block& next, int64_t x_stride, ResultRows fetched,
              Pending* pending, Ahead* ahead) {
  Pending results = *pending;
  const int64_t rows_a_step = block.steps > 1 ? DivideUp(results.rows, block.steps - 1) : 0;
  [[maybe_unused]] const int64_t fetched_a_step =
      block.steps > 1 ? DivideUp(fetched.rows, block.steps - 1) : 0;
  const int8_t *line = ahead->line, *const line_end = ahead->end;
  const int64_t lines = ahead->lines;
  const uint8_t *upper = block.upper, *lower = block.lower;
  const int8_t* weights = block.weights;
  Op::UpperLeft();
  Op::UpperRight();
  MultiplyLower<Op, kTiles>();
  MultiplyOtherParts<Op, kTiles>(upper, lower, weights, x_stride);
  for (int64_t step = 1; step < block.steps; ++step) {
    upper += kRowStep<Op>;
    lower += kRowStep<Op>;
    weights += kPanelStep<Op>;
    _tile_stream_loadd(4, upper, x_stride);
    _tile_loadd(6, weights, kPanelStride);
    Op::UpperLeft();
    _tile_loadd(7, weights + 64, kPanelStride);
    Op::UpperRight();
    if constexpr (kTiles == 2) _tile_stream_loadd(5, lower, x_stride);
    MultiplyLower<Op, kTiles>();
    MultiplyOtherParts<Op, kTiles>(upper, lower, weights, x_stride);
    results.StoreRows(rows_a_step);
    for (int64_t i = 0; i < lines && line < line_end; ++i, line += 64) {
      __builtin_prefetch(line, 0, 2);
    }
    if constexpr (kFetches) fetched.Fetch(fetched_a_step);
  }
  LoadFirstTiles(next, x_stride);
  results.StoreRows(results.rows);
  StoreSums<kTiles>(block);
  BeginSums(next);
  pending->rows = 0;
  ahead->line = line;
}

// All blocks of a product, one after the other, each begun while the one before it ends.
template <class Op, class Results>
struct Walk {
  using Pending = typename Results::Pending;
  const TileOperands& operands;
  const Results& results;
  const bool fetches = PassesSecondLevel<Op>(operands, results);
  Ahead ahead = {};
  Block current = {};
  Block finished = {};  // whose results are pending
  Pending pending = {};

  void Add(const Block& next) {
    if (current.steps > 0) {
      Run(next);
    } else {
      LoadFirstTiles(next, operands.x_stride);
      BeginSums(next);
    }
    current = next;
  }

  void End() {
    Run(current);
    pending.StoreRows(pending.rows);
    results.End(finished);
  }

 private:
  void Run(const Block& next) {
    const bool stores = pending.rows > 0;
    if (current.tiles == 1) {
      RunBlock<Op, 1, false>(current, next, operands.x_stride, {}, &pending, &ahead);
    } else if (fetches && current.whole) {
      const ResultRows rows = results.Rows(current);
      RunBlock<Op, 2, true>(current, next, operands.x_stride, rows, &pending, &ahead);
    } else {
      RunBlock<Op, 2, false>(current, next, operands.x_stride, {}, &pending, &ahead);
    }
    if (stores) results.End(finished);
    if (!current.whole) return;
    pending = results.Begin(current);
    finished = current;
  }
};

template <class Op>
const int8_t* WeightsAt(const TileOperands& operands, int64_t panel, int64_t step) {
  return static_cast<const int8_t*>(operands.weights) +
         (panel * operands.steps + step) * kPanelStep<Op>;
}

// Rows [row, row + rows) of a panel, from step `step` on.
template <class Op>
Block BlockAt(const TileOperands& operands, int64_t row, int64_t rows, int64_t panel,
              int64_t step) {
  const int64_t height = operands.m < kTileRows ? operands.m : kTileRows;
  const int64_t last = rows - height;  // the first row of the tile that ends the block
  const auto* x =
      static_cast<const uint8_t*>(operands.x) + row * operands.x_stride + step * kRowStep<Op>;
  Block block = {};
  block.tiles = rows > kTileRows ? 2 : 1;
  block.lower = x + last * operands.x_stride;
  block.upper = block.tiles == 2 ? x : block.lower;
  block.lower_at = block.tiles == 2 ? last * kPanelStride : 0;
  block.first = block.tiles == 2 ? 0 : -last;
  block.weights = WeightsAt<Op>(operands, panel, step);
  block.row = row;
  block.rows = rows;
  block.col = panel * kPanel;
  return block;
}

// The sums of one block of results, and those of a panel that wait for the rest of K.
struct alignas(64) TileSums {
  int32_t whole[kBlockRows * kPanel];
  int32_t parts[kBlockSize.most_rows_in_parts * kPanel];
};

struct Range {
  int64_t begin, end;
};

// Rows of a panel over `inputs`, a range of steps; `parts` [rows, 32] hold the sums so far.
template <class Op, class Results>
void AddPanel(Walk<Op, Results>* walk, const Blocking& blocking, Range rows, Range inputs,
              int64_t panel, int32_t* whole, int32_t* parts) {
  const TileOperands& operands = walk->operands;
  for (int64_t step = inputs.begin; step < inputs.end; step += blocking.steps) {
    const int64_t left = inputs.end - step;
    for (int64_t row = rows.begin; row < rows.end; row += kBlockRows) {
      const int64_t count = rows.end - row < kBlockRows ? rows.end - row : kBlockRows;
      Block block = BlockAt<Op>(operands, row, count, panel, step);
      int32_t* part = parts + (row - rows.begin) * kPanel;
      block.steps = left < blocking.steps ? left : blocking.steps;
      block.begin = step > 0 ? part : nullptr;
      block.whole = step + block.steps == operands.steps;
      block.sums = block.whole ? whole : part;
      walk->Add(block);
    }
  }
}

template <class Op>
Blocking BlockingOnTiles(const TileOperands& operands) {
  return BlockingOf({.m = operands.m,
                     .row_bytes = operands.x_stride,
                     .steps = operands.steps,
                     .step_bytes = kPanelStep<Op>,
                     .panels = operands.scratch != nullptr ? operands.panels : 0},
                    kBlockSize, CachesOfAmx());
}

// Tiles are configured for min(16, m) rows.
template <class Op, class Results>
void MultiplyOnTiles(const TileOperands& operands, const Results& results) {
  TileSums sums;
  const Blocking blocking = BlockingOnTiles<Op>(operands);
  const int64_t pass_steps = DivideUp(operands.steps, blocking.passes);
  Walk<Op, Results> walk{operands, results};
  for (int64_t begin = 0; begin < operands.m; begin += blocking.rows) {
    const int64_t left = operands.m - begin;
    const Range rows = {begin, left < blocking.rows ? operands.m : begin + blocking.rows};
    const int64_t lines = DivideUp(kPanelStep<Op> / 64 * kBlockRows, rows.end - rows.begin);
    for (int64_t step = 0; step < operands.steps; step += pass_steps) {
      const int64_t end = step + pass_steps < operands.steps ? step + pass_steps : operands.steps;
      for (int64_t panel = 0; panel < operands.panels; ++panel) {
        const int8_t* next = WeightsAt<Op>(operands, panel + 1, step);
        const int64_t bytes = panel + 1 < operands.panels ? (end - step) * kPanelStep<Op> : 0;
        walk.ahead = {next, next + bytes, lines};
        int32_t* const parts = blocking.passes == 1 ? sums.parts
                                                    : static_cast<int32_t*>(operands.scratch) +
                                                          panel * blocking.rows * kPanel;
        AddPanel(&walk, blocking, rows, {step, end}, panel, sums.whole, parts);
      }
    }
  }
  walk.End();
}

}  // namespace
}  // namespace w8a8
