// The order in which products on AMX tiles visit their blocks, and the loop that multiplies one.
// Included by files that are compiled for AMX. Operands are bytes: rows of x and panels of 32
// columns [steps of 64 bytes of a row][16][32 columns][4 bytes]; what the bytes are is the template
// arguments' to know:
//   Op: UpperLeft(), UpperRight(), LowerLeft(), LowerRight(): registers 0 to 3 += 4 and 5 times 6
//     and 7.
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

// Where one of the products that make a sum has its operands: behind the begin of a row and of a
// panel.
struct Pass {
  int64_t x_at, weights_at;
};

struct TileOperands {
  int64_t m, panels;
  int64_t steps;  // of a pass: 64 bytes of a row each
  const void* x;
  int64_t x_stride;  // bytes
  const void* weights;
  int64_t panel_bytes;
  const Pass* passes;
  int64_t pass_count;
};

// Up to 32 rows by 32 columns over some of the inputs. The second tile of rows ends with the last
// row and overlaps the first, so that no row past the last is read; so does a lone tile of a block
// of fewer rows, with rows before it.
struct Block {
  const uint8_t* upper;    // the first row of the upper tiles
  const uint8_t* lower;    // of the lower tiles; one tile of rows: the upper
  const int8_t* weights;   // of the first inputs
  int64_t steps;           // of 64 bytes of a row
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

// A store waits for its line, and where a product passes more bytes than the third-level cache
// keeps for a core, lines of results come from memory (2,916 x 3,456, K = 1,152: 0.30 of the
// tdpbusd peak, 0.54 with the lines fetched ahead); below, fetching them takes 3 % from the loop. 8
// times the second level: 11 MB lose by it, 24 MB gain (Emerald Rapids).
template <class Results>
bool ComesFromMemory(const TileOperands& operands, const Results& results) {
  const int64_t bytes = operands.m * operands.x_stride + operands.panels * operands.panel_bytes;
  return bytes + results.Bytes() > 8 * CachesOfCore().second;
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
  for (int64_t step = 1; step < block.steps; ++step) {
    upper += kTileBytes;
    lower += kTileBytes;
    weights += kStepWeights;
    _tile_stream_loadd(4, upper, x_stride);
    _tile_loadd(6, weights, kPanelStride);
    Op::UpperLeft();
    _tile_loadd(7, weights + 64, kPanelStride);
    Op::UpperRight();
    if constexpr (kTiles == 2) _tile_stream_loadd(5, lower, x_stride);
    MultiplyLower<Op, kTiles>();
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
  const bool fetches = ComesFromMemory(operands, results);
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

// Rows [row, row + rows) of a panel, from step `step` of a pass on.
inline Block BlockAt(const TileOperands& operands, int64_t row, int64_t rows, int64_t panel,
                     const Pass& pass, int64_t step) {
  const int64_t height = operands.m < kTileRows ? operands.m : kTileRows;
  const int64_t last = rows - height;  // the first row of the tile that ends the block
  const auto* x = static_cast<const uint8_t*>(operands.x) + row * operands.x_stride + pass.x_at +
                  step * kTileBytes;
  Block block = {};
  block.tiles = rows > kTileRows ? 2 : 1;
  block.lower = x + last * operands.x_stride;
  block.upper = block.tiles == 2 ? x : block.lower;
  block.lower_at = block.tiles == 2 ? last * kPanelStride : 0;
  block.first = block.tiles == 2 ? 0 : -last;
  block.weights = static_cast<const int8_t*>(operands.weights) + panel * operands.panel_bytes +
                  pass.weights_at + step * kStepWeights;
  block.row = row;
  block.rows = rows;
  block.col = panel * kPanel;
  return block;
}

// The sums of one block of results, and those of many that wait for the rest of K.
struct alignas(64) TileSums {
  int32_t whole[kBlockRows * kPanel];
  int32_t parts[kBlockSize.most_rows_in_parts * kPanel];
};

// Rows [begin, end) of a panel, chunk of K by chunk of K and pass by pass.
template <class Op, class Results>
void AddPanel(Walk<Op, Results>* walk, const Blocking& blocking, int64_t begin, int64_t end,
              int64_t panel, TileSums* sums) {
  const TileOperands& operands = walk->operands;
  for (int64_t step = 0; step < operands.steps; step += blocking.steps) {
    const int64_t left = operands.steps - step;
    const int64_t steps = left < blocking.steps ? left : blocking.steps;
    for (int64_t pass = 0; pass < operands.pass_count; ++pass) {
      for (int64_t row = begin; row < end; row += kBlockRows) {
        const int64_t rows = end - row < kBlockRows ? end - row : kBlockRows;
        Block block = BlockAt(operands, row, rows, panel, operands.passes[pass], step);
        int32_t* part = sums->parts + (row - begin) * kPanel;
        block.steps = steps;
        block.begin = step > 0 || pass > 0 ? part : nullptr;
        block.whole = steps == left && pass + 1 == operands.pass_count;
        block.sums = block.whole ? sums->whole : part;
        walk->Add(block);
      }
    }
  }
}

// Tiles are configured for min(16, m) rows.
template <class Op, class Results>
void MultiplyOnTiles(const TileOperands& operands, const Results& results) {
  TileSums sums;
  const Blocking blocking = BlockingOf({.m = operands.m,
                                        .row_bytes = operands.x_stride,
                                        .steps = operands.steps,
                                        .step_bytes = kStepWeights,
                                        .passes = operands.pass_count},
                                       kBlockSize, CachesOfAmx());
  Walk<Op, Results> walk{operands, results};
  for (int64_t begin = 0; begin < operands.m; begin += blocking.rows) {
    const int64_t left = operands.m - begin;
    const int64_t end = left < blocking.rows ? operands.m : begin + blocking.rows;
    const int64_t lines = DivideUp(kStepWeights / 64 * kBlockRows, end - begin);
    for (int64_t panel = 0; panel < operands.panels; ++panel) {
      const auto* next =
          static_cast<const int8_t*>(operands.weights) + (panel + 1) * operands.panel_bytes;
      walk.ahead = {next, panel + 1 < operands.panels ? next + operands.panel_bytes : next, lines};
      AddPanel(&walk, blocking, begin, end, panel, &sums);
    }
  }
  walk.End();
}

}  // namespace
}  // namespace w8a8
