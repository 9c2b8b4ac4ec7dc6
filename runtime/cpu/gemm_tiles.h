// The order in which the INT8 products of the vector sets visit their tiles. Included by files that
// are compiled for one instruction set: one template over a type of theirs, and constants.
#pragma once

#include <cstdint>

namespace w8a8 {

// What a set found fastest, in one place with its reasons.
struct GemmTuning {
  int64_t tile_rows;    // rows of x whose accumulators fit in the registers
  int64_t panel_cols;   // columns of a packed panel of weights
  int64_t block_bytes;  // of codes, which stay in the second-level cache beside a panel
};

// Of `left` rows: between one and two tiles are split evenly, 13 as 7 and 6.
template <class Int>
constexpr Int RowsOfTile(Int left, Int tile) {
  return left <= tile ? left : left < 2 * tile ? (left + 1) / 2 : tile;
}

// Calls run_tile(row, rows, panel) for all of y [m, n]: blocks of rows, then panels, then tiles, so
// that a block of codes stays in the second-level cache while every panel passes through the first.
template <class RunTile>
void ForEachTile(int64_t m, int64_t panels, int64_t row_bytes, const GemmTuning& tuning,
                 const RunTile& run_tile) {
  const int64_t tile = tuning.tile_rows;
  const int64_t fitting = tuning.block_bytes / row_bytes / tile * tile;
  const int64_t block = fitting < tile ? tile : fitting;
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
