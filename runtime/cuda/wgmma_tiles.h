// Tiles of the sm_90a INT8 product: which shapes there are, which output rows and columns a tile of
// the grid stands for, and which shape a product takes. Plain arithmetic, the same on the host.
//
// y[m, n] = sum_k x[m, k] * w[n, k] is cut into tiles of one thread block. The two blocks of a
// cluster take tiles above each other and load the rows of w that both need once, half each.
#pragma once

#include <cstdint>

#include "quant/function_fits.h"

namespace w8a8 {

constexpr int kWgmmaClusterSize = 2;
constexpr int kWgmmaConsumers = 2;  // warpgroups that multiply, beside the one that loads
constexpr int kWarpgroupThreads = 128;
constexpr int kWgmmaThreads = (1 + kWgmmaConsumers) * kWarpgroupThreads;
// Bytes of K in a stage: one row of the 128-byte swizzle.
constexpr int kStageDepth = 128;
constexpr int kWgmmaDepth = 32;    // of one s8 instruction
constexpr int kWgmmaRows = 64;     // of one instruction: a slab
constexpr int kChunkColumns = 64;  // that the epilogue takes at a time

enum class WgmmaTiles : uint8_t {
  kPingPong64x128,
  kPingPong128x128,
  kCooperative128x256,
  kCooperative256x128,
};
constexpr int kWgmmaTileKinds = 4;

struct WgmmaTileShape {
  int rows;     // of y, of one block's tile
  int columns;  // one instruction's, too
  int stages;   // as many as 192 KiB hold
  // Ping-pong: each consumer owns every other tile, so that one's epilogue runs beside the other's
  // products. Cooperative: the two share a tile's rows.
  bool ping_pong;
};

W8A8_HOST_DEVICE constexpr WgmmaTileShape ShapeOf(WgmmaTiles tiles) {
  switch (tiles) {
    case WgmmaTiles::kPingPong64x128:
      return {64, 128, 8, true};
    case WgmmaTiles::kPingPong128x128:
      return {128, 128, 6, true};
    case WgmmaTiles::kCooperative128x256:
      return {128, 256, 4, false};
    case WgmmaTiles::kCooperative256x128:
      return {256, 128, 4, false};
  }
  return {};
}

// Slabs of 64 rows that one consumer holds in registers: at most 128 sums a thread.
W8A8_HOST_DEVICE constexpr int SlabsOf(WgmmaTileShape shape) {
  return shape.rows / kWgmmaRows / (shape.ping_pong ? 1 : kWgmmaConsumers);
}

// Of the tile's rows, the first of `consumer`'s slab.
W8A8_HOST_DEVICE constexpr int SlabRow(WgmmaTileShape shape, int consumer, int slab) {
  return ((shape.ping_pong ? 0 : consumer * SlabsOf(shape)) + slab) * kWgmmaRows;
}

W8A8_HOST_DEVICE constexpr int32_t CeilDivide(int32_t a, int32_t b) { return (a + b - 1) / b; }

// The grid of a product in cluster tiles.
struct WgmmaGrid {
  int32_t rows, columns;  // in cluster tiles
  int32_t k_blocks;       // stages of K, the last one filled with zeros
};

// m, n, k >= 1 and m, n <= 2^30.
W8A8_HOST_DEVICE constexpr WgmmaGrid GridOf(WgmmaTileShape shape, int32_t m, int32_t n, int32_t k) {
  return {CeilDivide(m, shape.rows * kWgmmaClusterSize), CeilDivide(n, shape.columns),
          CeilDivide(k, kStageDepth)};
}

// Below 2^30 where WgmmaRefuses found nothing.
W8A8_HOST_DEVICE constexpr int32_t ClusterTiles(WgmmaGrid grid) { return grid.rows * grid.columns; }

// First row and column of y of one block's tile; beyond y for the second block where the tiles are
// odd in number: its loads give zeros, its stores are cut.
struct TileOrigin {
  int32_t row, column;
};

// Neighbours in this order run at the same time: bands of 8 cluster rows, down each column of the
// band, so that the 66 clusters of an H200 read about 8 tiles of x and 8 of w, not 1 and 66.
constexpr int32_t kBandRows = 8;

W8A8_HOST_DEVICE constexpr TileOrigin OriginOf(WgmmaTileShape shape, WgmmaGrid grid, int32_t index,
                                               int32_t cluster_rank) {
  const int32_t band_tiles = kBandRows * grid.columns;
  const int32_t band = index / band_tiles;
  const int32_t inside = index % band_tiles;
  const int32_t left = grid.rows - band * kBandRows;
  const int32_t height = left < kBandRows ? left : kBandRows;
  const int32_t row = (band * kBandRows + inside % height) * kWgmmaClusterSize + cluster_rank;
  return {row * shape.rows, inside / height * shape.columns};
}

// What an epilogue makes of a sum.
enum class WgmmaEpilogue : uint8_t {
  kHalf,      // FP16
  kResidual,  // the stream in FP16: layer_scale * FP16 + residual
  kCodes,     // int8 codes of the activation function of the FP16 value
};
constexpr int kWgmmaEpilogues = 3;

// Clocks that a product takes on `sms` multiprocessors, by arithmetic; a lead until a GPU confirms.
W8A8_HOST_DEVICE constexpr double EstimatedClocks(WgmmaTileShape shape, WgmmaEpilogue epilogue,
                                                  int32_t m, int32_t n, int32_t k, int32_t sms) {
  // Of one multiprocessor: 4,096 multiply-adds a clock, and about 46 bytes a clock from L2.
  constexpr double kMacs = 4096, kL2Bytes = 46;
  // Instructions of the epilogue for a sum, and those that its warps issue a clock: a consumer's
  // four warps fill half of the slots alone, the two of a cooperative tile together 80 %.
  const double instructions = epilogue == WgmmaEpilogue::kCodes      ? 42
                              : epilogue == WgmmaEpilogue::kResidual ? 9
                                                                     : 6;
  const double issued = shape.ping_pong ? 64 : 102;
  const WgmmaGrid grid = GridOf(shape, m, n, k);
  const double sums = static_cast<double>(shape.rows) * shape.columns;
  const int32_t loaded = (shape.rows + shape.columns / kWgmmaClusterSize) * kStageDepth;
  const double multiply = sums * kStageDepth / kMacs;
  const double load = loaded / kL2Bytes;
  const double products = (multiply > load ? multiply : load) * grid.k_blocks;
  const double finish = sums * instructions / issued;
  const int32_t rounds = CeilDivide(ClusterTiles(grid), sms / kWgmmaClusterSize);
  const double waves = rounds;
  if (!shape.ping_pong) return waves * (products + finish);
  // Tiles in turns: bound by the products, or by each consumer's own tiles one after the other.
  const double in_turn = waves * products + finish;
  const double alone = (waves + 1) / 2 * (products + finish);
  return in_turn > alone ? in_turn : alone;
}

// The shape of the fewest clocks, the earlier one if equal. What decides, on 132 multiprocessors:
//   - quantization into waves of 66 cluster tiles: batch 1 (729 x 1152) fills 54 clusters with 64
//     rows and 27 with 128;
//   - short K (1 k): the epilogue is a third of a tile and has to run beside another's products:
//     ping-pong;
//   - long K: the cooperative tiles read 32 and 40 bytes a clock from L2, not 48, and win where
//     their waves are as full: 256 columns, or 128 where 256 do not divide N (1152).
W8A8_HOST_DEVICE constexpr WgmmaTiles ChooseTiles(WgmmaEpilogue epilogue, int32_t m, int32_t n,
                                                  int32_t k, int32_t sms) {
  auto best = WgmmaTiles::kPingPong64x128;
  double fewest = EstimatedClocks(ShapeOf(best), epilogue, m, n, k, sms);
  for (int i = 1; i < kWgmmaTileKinds; ++i) {
    const auto tiles = static_cast<WgmmaTiles>(i);
    const double clocks = EstimatedClocks(ShapeOf(tiles), epilogue, m, n, k, sms);
    if (clocks < fewest) {
      best = tiles;
      fewest = clocks;
    }
  }
  return best;
}

}  // namespace w8a8
