// How the INT8 products of the vector sets cut their work, and the order in which they visit their
// tiles. Included by files that are compiled for one instruction set: what is not a template over a
// type of theirs is in an unnamed namespace.
#pragma once

#include <cstdint>

#include "runtime/cpu/caches.h"

namespace w8a8 {

// A set's tile of sums in registers.
struct TileSize {
  int64_t rows;  // of x
  int64_t cols;  // of a packed panel of weights
  // Of a block whose sums may wait in memory while its inputs come in parts; 0: they never do.
  int64_t most_rows_in_parts = 0;
};

struct ProductSize {
  int64_t m;           // rows of x
  int64_t row_bytes;   // from one to the next
  int64_t steps;       // of inputs
  int64_t step_bytes;  // of a panel
  int64_t panels = 0;  // whose sums may all wait for the rest of K; 0: none do
};

// `rows` of x stay in the second-level cache while every panel passes, `passes` times, each with as
// many of the inputs; `steps` of a panel are multiplied by all of them before the next steps.
struct Blocking {
  int64_t rows;
  int64_t steps;
  int64_t passes = 1;
};

namespace {

// Rows that share half of the second level with two parts of panels, the one in use and the next,
// in even blocks of whole tiles: a last one of few rows would read all weights for them.
inline int64_t RowsOfBlock(const ProductSize& size, const TileSize& tile, const Caches& caches,
                           const Blocking& blocking) {
  const int64_t bytes = caches.second / 2 - 2 * blocking.steps * size.step_bytes;
  int64_t most = bytes * blocking.passes / size.row_bytes;
  const bool in_parts = blocking.passes == 1 && blocking.steps < size.steps;
  if (in_parts && most > tile.most_rows_in_parts) most = tile.most_rows_in_parts;
  most = most < tile.rows ? tile.rows : most / tile.rows * tile.rows;
  const int64_t blocks = (size.m + most - 1) / most;
  const int64_t even = (size.m + blocks - 1) / blocks;
  return (even + tile.rows - 1) / tile.rows * tile.rows;
}

// The one place for the sizes of blocks.
//
// Columns: one panel, as wide as the registers of sums are.
// Inputs: sums in vector registers take all inputs at once. A panel that is larger than the first
//   level (K = 1,152: 36 KiB) then comes from the second: 128 bytes for 24 products are 5 bytes a
//   cycle of the 52 that it gives, and parts of K would only store and load sums. AMX eats 64 bytes
//   a cycle, of which the second level gives 47 to 54: a part of a panel takes three quarters of
//   the first level and rows are streamed past it (fc2 of so400m: 47 to 55 % of the tdpbssd peak).
//   Where all rows are one tile's there is nothing to come back for: K stays whole.
// Rows: half of the second level for them and for parts of panels; the other half for results and
//   whatever passes through. 12 x 32 tiles on 1 MiB are level (1 %) with 110 to 600 KiB of rows;
//   AMX on 2 MiB wants 0.8 to 1.15 MB, for beyond, rows come from the third level (29 GB/s).
// Passes: few long rows fit, and every block of them reads all weights again. Where sums may wait,
//   inputs come in as many passes as make the fewest bytes of weights and of sums, which are stored
//   and loaded between two passes (FP16 in two parts, 729 x 1,152, K = 4,304: 32 rows at a time
//   read 458 MB of weights; 7 passes over 384 rows 80 MB of both).
inline Blocking BlockingOf(const ProductSize& size, const TileSize& tile, const Caches& caches) {
  int64_t parts = 1;
  if (tile.most_rows_in_parts > 0 && size.m > tile.rows) {
    const int64_t most = caches.first * 3 / 4 / size.step_bytes;
    parts = (size.steps + most - 1) / most;
  }
  const int64_t steps = (size.steps + parts - 1) / parts;
  Blocking best = {0, steps, 1};
  best.rows = RowsOfBlock(size, tile, caches, best);
  const int64_t weights = size.panels * size.steps * size.step_bytes;
  const int64_t sums = 2 * size.m * size.panels * tile.cols * int64_t{4};
  int64_t least = (size.m + best.rows - 1) / best.rows * weights;
  for (int64_t passes = 2; size.panels > 0 && passes <= parts; ++passes) {
    Blocking blocking = {0, steps, passes};
    blocking.rows = RowsOfBlock(size, tile, caches, blocking);
    const int64_t blocks = (size.m + blocking.rows - 1) / blocking.rows;
    const int64_t bytes = blocks * weights + (passes - 1) * sums;
    if (bytes < least) {
      least = bytes;
      best = blocking;
    }
  }
  return best;
}

}  // namespace

// Of `left` rows: between one and two tiles are split evenly, 13 as 7 and 6.
template <class Int>
constexpr Int RowsOfTile(Int left, Int tile) {
  return left <= tile ? left : left < 2 * tile ? (left + 1) / 2 : tile;
}

// Calls run_tile(row, rows, panel) for all of y [m, n]: blocks of `block` rows, then panels, then
// tiles of `tile` rows, so that a block of codes stays in the second-level cache while every panel
// passes through the first.
template <class RunTile>
void ForEachTile(int64_t m, int64_t panels, int64_t block, int64_t tile, const RunTile& run_tile) {
  for (int64_t begin = 0; begin < m; begin += block) {
    const int64_t end = begin + block < m ? begin + block : m;
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t row = begin; row < end;) {
        const int64_t rows = RowsOfTile(end - row, tile);
        run_tile(row, rows, panel);
        row += rows;
      }
    }
  }
}

}  // namespace w8a8
