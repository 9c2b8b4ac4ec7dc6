// The tile registers of AMX: their configuration, and how the products cut their work for them.
// Included by files that are compiled for AMX. Registers 0 to 3 hold the sums of up to 32 rows x 32
// columns, 4 and 5 the codes of 16 rows each, 6 and 7 the weights of 16 columns each.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/caches.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/panels_avx512.h"

namespace w8a8 {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileBytes = 64;                     // of a row of x in a tile
constexpr int64_t kTileValues = kTileBytes / 2;        // of two bytes, of a row in a tile
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

// 64 KiB of sums that wait are on the stack.
constexpr TileSize kBlockSize = {
    .rows = kBlockRows, .cols = kPanel, .most_rows_in_parts = 16 * kBlockRows};

// Every CPU with AMX has a first-level data cache of 48 KiB; a constant, because the parts of K are
// the order of float sums.
inline Caches CachesOfAmx() { return {.first = 48 << 10, .second = CachesOfCore().second}; }

}  // namespace
}  // namespace w8a8
