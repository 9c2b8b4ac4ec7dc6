// The index maps of the sm_90a INT8 product, exhaustively: tiles, fragments, staging, descriptors.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "runtime/cuda/wgmma_epilogue.h"

namespace w8a8 {
namespace {

constexpr WgmmaTiles kAllTiles[] = {WgmmaTiles::kPingPong64x128, WgmmaTiles::kPingPong128x128,
                                    WgmmaTiles::kCooperative128x256,
                                    WgmmaTiles::kCooperative256x128};
static_assert(std::size(kAllTiles) == kWgmmaTileKinds);

// Calls visit(origin, consumer) for every tile of every block of `clusters` clusters, in the order
// of LocalTiles.
template <class Visit>
void ForEachTile(WgmmaTileShape shape, WgmmaGrid grid, int32_t clusters, const Visit& visit) {
  for (int32_t cluster = 0; cluster < clusters; ++cluster) {
    for (int32_t rank = 0; rank < kWgmmaClusterSize; ++rank) {
      const ClusterWork work = {grid, rank, cluster, clusters};
      for (int32_t local = 0; local < LocalTiles(work); ++local) {
        const TileOrigin origin = LocalOrigin(shape, work, local);
        for (int consumer = 0; consumer < kWgmmaConsumers; ++consumer) {
          if (shape.ping_pong && local % kWgmmaConsumers != consumer) continue;
          visit(origin, consumer);
        }
      }
    }
  }
}

// How often each output is stored, by the pieces that the lanes of one tile's consumer take.
void CountStores(WgmmaTileShape shape, TileOrigin origin, int consumer, int32_t m, int32_t n,
                 std::vector<uint8_t>& stores) {
  for (int slab = 0; slab < SlabsOf(shape); ++slab) {
    for (int32_t warp_row = 0; warp_row < kWgmmaRows; warp_row += kStagedRows) {
      const int32_t row = origin.row + SlabRow(shape, consumer, slab) + warp_row;
      for (int32_t begin = origin.column; begin < origin.column + shape.columns;
           begin += kChunkColumns) {
        for (uint32_t i = 0; i < 32 * kPieceTurns; ++i) {
          const Piece piece = PieceOf(i % 32, i / 32);
          const int32_t y = row + static_cast<int32_t>(piece.row);
          const int32_t x = begin + static_cast<int32_t>(piece.piece) * 8;
          if (y >= m) continue;
          uint8_t* to = stores.data() + static_cast<int64_t>(y) * n + x;
          for (int32_t j = 0; j < Inside(n, x, 8); ++j) ++to[j];
        }
      }
    }
  }
}

TEST(WgmmaTiles, StoreEveryOutputOnce) {
  for (const WgmmaTiles tiles : kAllTiles) {
    const WgmmaTileShape shape = ShapeOf(tiles);
    for (const int32_t m : {1, 65, 729, 1025}) {
      for (const int32_t n : {80, 1001, 1024, 1152, 4304}) {
        const WgmmaGrid grid = GridOf(shape, m, n, 1152);
        for (const int32_t most : {1, 7, 66}) {
          const int32_t clusters = std::min(most, ClusterTiles(grid));
          std::vector<uint8_t> stores(static_cast<size_t>(m) * n);
          ForEachTile(shape, grid, clusters, [&](TileOrigin origin, int consumer) {
            CountStores(shape, origin, consumer, m, n, stores);
          });
          ASSERT_EQ(std::ranges::count(stores, 1), m * n)
              << m << " x " << n << ", tiles " << static_cast<int>(tiles) << ", " << clusters;
        }
      }
    }
  }
}

TEST(WgmmaTiles, OfAClusterShareTheRowsOfW) {
  for (const WgmmaTiles tiles : kAllTiles) {
    const WgmmaTileShape shape = ShapeOf(tiles);
    const WgmmaGrid grid = GridOf(shape, 1025, 4304, 588);
    for (int32_t index = 0; index < ClusterTiles(grid); ++index) {
      const TileOrigin one = OriginOf(shape, grid, index, 0);
      const TileOrigin other = OriginOf(shape, grid, index, 1);
      EXPECT_EQ(other.row - one.row, shape.rows);
      EXPECT_EQ(other.column, one.column);
    }
  }
}

TEST(WgmmaTiles, ThatRunTogetherNeedFewOperands) {
  const WgmmaTileShape shape = ShapeOf(WgmmaTiles::kPingPong128x128);
  const WgmmaGrid grid = GridOf(shape, 23328, 4304, 1152);
  for (int32_t wave = 0; wave + 66 <= ClusterTiles(grid); wave += 66) {
    std::set<int32_t> rows, columns;
    for (int32_t i = wave; i < wave + 66; ++i) {
      rows.insert(OriginOf(shape, grid, i, 0).row);
      columns.insert(OriginOf(shape, grid, i, 0).column);
    }
    EXPECT_LE(rows.size() + columns.size(), 8 + 8 + 10 + 2u) << wave;  // a wave may span two bands
  }
}

TEST(WgmmaTiles, AreChosenForTheWavesAndTheDepth) {
  const auto choose = [](WgmmaEpilogue epilogue, int32_t m, int32_t n, int32_t k) {
    return ChooseTiles(epilogue, m, n, k, 132);
  };
  EXPECT_EQ(choose(WgmmaEpilogue::kResidual, 729, 1152, 1152), WgmmaTiles::kPingPong64x128);
  EXPECT_EQ(choose(WgmmaEpilogue::kHalf, 23328, 3456, 1152), WgmmaTiles::kPingPong128x128);
  EXPECT_EQ(choose(WgmmaEpilogue::kResidual, 1025, 3200, 12800), WgmmaTiles::kCooperative128x256);
  EXPECT_EQ(choose(WgmmaEpilogue::kResidual, 512 * 66, 128, 12800),
            WgmmaTiles::kCooperative256x128);
}

TEST(WgmmaFragments, HoldEverySumOfASlabOnce) {
  for (const int32_t columns : {128, 256}) {
    std::set<std::pair<int32_t, int32_t>> places;
    for (int32_t thread = 0; thread < kWarpgroupThreads; ++thread) {
      for (int32_t index = 0; index < columns / 2; ++index) {
        const SlabPlace place = PlaceOf(thread, index);
        EXPECT_LT(place.row, kWgmmaRows);
        EXPECT_LT(place.column, columns);
        EXPECT_EQ(place.row / 16, thread / 32) << "a warp's rows are its own";
        places.emplace(place.row, place.column);
      }
    }
    EXPECT_EQ(places.size(), static_cast<size_t>(kWgmmaRows * columns));
  }
}

// ---- shared memory ----

TEST(WgmmaLayout, FitsWithItsPartsAlignedAndApart) {
  for (const WgmmaTiles tiles : kAllTiles) {
    const WgmmaTileShape shape = ShapeOf(tiles);
    const WgmmaLayout layout = LayoutOf(shape);
    EXPECT_LE(layout.end, kWgmmaSharedMemory);
    EXPECT_EQ(StageBytes(shape) * static_cast<uint32_t>(shape.stages), 192 * 1024u);
    for (uint32_t stage = 0; stage < static_cast<uint32_t>(shape.stages); ++stage) {
      EXPECT_EQ(StageX(shape, stage) % kSwizzleAtom, 0u);
      EXPECT_EQ(StageW(shape, stage) % kSwizzleAtom, 0u);
    }
    EXPECT_EQ(BoxRowsW(shape) * kStageDepth % kSwizzleAtom, 0u) << "the other block's half";
    EXPECT_LE(BoxRowsX(shape), 256) << "TMA's limit";
    EXPECT_LE(BoxRowsW(shape), 256);
    const auto stages = static_cast<uint32_t>(shape.stages);
    EXPECT_EQ(StageX(shape, stages), layout.w);
    EXPECT_EQ(StageW(shape, stages), layout.staging);
    EXPECT_EQ(layout.staging + 8 * kStagingBytes, layout.columns);
    EXPECT_EQ(layout.columns % 16, 0u);
    EXPECT_LE(LayerScaleOffset(shape, static_cast<uint32_t>(shape.columns)),
              static_cast<uint32_t>(shape.columns) * kColumnBytes);
    EXPECT_EQ(layout.full % 8, 0u);
  }
}

// Where the tensor core finds byte `k` of row `row`: the start, 8-row groups of the stride, rows of
// 128 bytes; then the address bits are swizzled.
uint32_t ReadThrough(uint64_t descriptor, uint32_t row, uint32_t k) {
  const auto start = static_cast<uint32_t>(descriptor & 0x3fffu) << 4;
  const auto stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fffu) << 4;
  return Swizzled(start + row / 8 * stride + row % 8 * 128 + k);
}

TEST(WgmmaDescriptor, ReadsEveryByteOfEverySlabWhereTmaPutIt) {
  for (const WgmmaTiles tiles : kAllTiles) {
    const WgmmaTileShape shape = ShapeOf(tiles);
    const uint32_t base = kSwizzleAtom;  // where dynamic shared memory begins
    for (uint32_t stage = 0; stage < static_cast<uint32_t>(shape.stages); ++stage) {
      const uint32_t x = base + StageX(shape, stage), w = base + StageW(shape, stage);
      for (const auto& [begin, rows] : {std::pair{x, shape.rows}, std::pair{w, shape.columns}}) {
        for (uint32_t row = 0; row < static_cast<uint32_t>(rows); ++row) {
          for (uint32_t k = 0; k < kStageDepth; ++k) {
            const uint32_t slab = begin == x ? row / kWgmmaRows * kWgmmaRows : 0;
            const uint64_t descriptor =
                AdvancedK(WgmmaDescriptor(begin) + (slab * kStageDepth >> 4),
                          static_cast<int>(k / kWgmmaDepth));
            ASSERT_EQ(descriptor >> 62, 1u) << "128-byte swizzle";
            ASSERT_EQ(ReadThrough(descriptor, row - slab, k % kWgmmaDepth),
                      begin + Swizzled(row * kStageDepth + k));
          }
        }
      }
    }
  }
}

// The most lanes of a phase of 8 that ask for different 16-byte words of the same four banks.
template <class Address>
int WorstConflict(const Address& address) {
  int worst = 0;
  for (uint32_t first = 0; first < 32; first += 8) {
    std::map<uint32_t, std::set<uint32_t>> words;
    for (uint32_t lane = first; lane < first + 8; ++lane) {
      words[address(lane) / 16 % 8].insert(address(lane) / 16);
    }
    for (const auto& [bank, asked] : words) worst = std::max(worst, static_cast<int>(asked.size()));
  }
  return worst;
}

TEST(WgmmaStaging, TakesEveryPairOnceWithoutBankConflicts) {
  std::set<uint32_t> stored, taken;
  for (uint32_t pair = 0; pair < kChunkPairs; ++pair) {
    const auto address = [&](uint32_t lane) {
      return StoreMatrixAddress(StoreMatrixBegin(lane), pair);
    };
    EXPECT_EQ(WorstConflict(address), 1);
    for (uint32_t lane = 0; lane < 32; ++lane) stored.insert(address(lane));
  }
  for (uint32_t turn = 0; turn < kPieceTurns; ++turn) {
    const auto address = [&](uint32_t lane) { return TakenAddress(TakenBegin(lane), turn); };
    EXPECT_EQ(WorstConflict(address), 1);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const Piece piece = PieceOf(lane, turn);
      EXPECT_EQ(address(lane), StagedPiece(piece.row, piece.piece));
      taken.insert(address(lane));
    }
  }
  EXPECT_EQ(stored.size(), kStagingBytes / 16);
  EXPECT_EQ(taken, stored);
  EXPECT_EQ(*stored.rbegin(), kStagingBytes - 16);
}

TEST(WgmmaStaging, WithoutTheSwizzleConflicts) {
  EXPECT_EQ(WorstConflict([](uint32_t lane) { return lane % 8 * 128; }), 8);
}

}  // namespace
}  // namespace w8a8
