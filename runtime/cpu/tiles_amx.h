// The tile registers of AMX: their configuration, and how the products cut their work for them.
// Included by files that are compiled for AMX. Registers 0 to 3 hold the sums of up to 32 rows x 32
// columns, 4 and 5 the codes of 16 rows each, 6 and 7 the weights of 16 columns each.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/panels_avx512.h"

namespace w8a8 {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileBytes = 64;                     // of a row of x in a tile
constexpr int64_t kPanelStride = 4 * kPanel;           // bytes of all columns for four of a row
constexpr int64_t kStepWeights = kTileBytes * kPanel;  // bytes of a panel for a tile of x
constexpr int64_t kBlockRows = 2 * kTileRows;

// As LDTILECFG reads it. In memory for good: the compiler is told of its first bytes only.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
struct TileConfigs {
  TileConfig by_rows[kTileRows];
};

// For sums and x of 1 to 16 rows.
constexpr TileConfigs MakeTileConfigs() {
  TileConfigs configs = {};
  for (int64_t i = 0; i < kTileRows; ++i) {
    TileConfig& config = configs.by_rows[i];
    config.palette = 1;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] = 64;
      config.rows[tile] = static_cast<uint8_t>(tile < 6 ? i + 1 : kTileRows);
    }
  }
  return configs;
}
constexpr TileConfigs kTileConfigs = MakeTileConfigs();

// The tiles of the calling thread for products of `m` rows; from 16 on they are the same.
inline void ConfigureTiles(int64_t m) {
  _tile_loadconfig(&kTileConfigs.by_rows[(m < kTileRows ? m : kTileRows) - 1]);
}

// Every CPU with AMX has a first-level data cache of 48 KiB and a second level of 2 MiB.
constexpr int64_t kChunkSteps = 18;                    // 36 KiB of weights
constexpr int64_t kOperandBytes = 1000 * 1024;         // of a block of rows
constexpr int64_t kMostChunkedRows = 16 * kBlockRows;  // 64 KiB of sums, on the stack

struct Blocking {
  int64_t rows;   // that stay in the second-level cache while every panel passes
  int64_t steps;  // of 64 bytes of a row whose weights stay in the first level
};

// A panel's chunk is multiplied by every row of a block before the next one, so its weights come
// from the first level and only x is streamed from the second: the loop eats 64 bytes a cycle of
// which the second level gives 47 to 54. Blocks of 0.8 to 1.15 MB of x leave room for the panels
// and results that pass through; beyond, x comes from the third level (29 GB/s). Blocks are even.
// Where all rows are one block's there is nothing to come back for: K stays whole, unless several
// products make a sum: their order must not depend on the rows.
inline Blocking BlockingOf(int64_t m, int64_t steps, int64_t passes, int64_t row_bytes) {
  const int64_t chunk = DivideUp(steps, DivideUp(steps, kChunkSteps));
  if (m <= kBlockRows) return {m, passes > 1 ? chunk : steps};
  int64_t most = kOperandBytes / row_bytes / kBlockRows * kBlockRows;
  if (most < kBlockRows) most = kBlockRows;
  const bool in_parts = steps > kChunkSteps || passes > 1;
  if (in_parts && most > kMostChunkedRows) most = kMostChunkedRows;
  const int64_t rows = DivideUp(DivideUp(m, DivideUp(m, most)), kBlockRows) * kBlockRows;
  return {rows, chunk};
}

}  // namespace
}  // namespace w8a8
