// The whole flow of data of the sm_90a INT8 product on the host: TMA's boxes with their swizzle and
// zeros, operands read through the descriptors, fragments, stmatrix, pieces. With the addresses and
// the arithmetic of the kernel; equal in every bit to the plain formula.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/cuda/wgmma_case.h"

namespace w8a8 {
namespace {

using test::Compare;
using test::MakeCase;
using test::PlainOutput;
using test::WgmmaCase;

// One block's memory, and what moves in it.
template <WgmmaTiles kTiles, WgmmaEpilogue kEpilogue>
class Block {
 public:
  explicit Block(const WgmmaProduct& product) : product_(product), o_(product.outputs) {}

  void Tile(TileOrigin origin, int32_t k_blocks) {
    origin_ = origin;
    for (auto& slab : sums_) slab.fill({});
    for (int32_t block = 0; block < k_blocks; ++block) {
      const auto stage = static_cast<uint32_t>(block % kShape.stages);
      LoadBox(kBase + StageX(kShape, stage), product_.x, product_.x_stride, o_.m, BoxRowsX(kShape),
              block * kStageDepth, origin.row);
      for (int32_t rank = 0; rank < kWgmmaClusterSize; ++rank) {  // both blocks' halves of w
        const int32_t half = rank * BoxRowsW(kShape);
        LoadBox(kBase + StageW(kShape, stage) + static_cast<uint32_t>(half * kStageDepth),
                product_.w, product_.w_stride, o_.n, BoxRowsW(kShape), block * kStageDepth,
                origin.column + half);
      }
      for (int slab = 0; slab < kAllSlabs; ++slab) Multiply(stage, slab);
    }
    for (int slab = 0; slab < kAllSlabs; ++slab) {
      for (int32_t warp = 0; warp < 4; ++warp) FinishWarp(slab, warp);
    }
  }

  // Answers StageWords: columns from the tile's first.
  ColumnScales Scales(int32_t column) const {
    const auto scale = [&](int32_t n) { return n < o_.n ? o_.scale_w[n] : 0.0f; };
    const auto bias = [&](int32_t n) { return n < o_.n && o_.bias ? o_.bias[n] : 0.0f; };
    const int32_t n = origin_.column + column;
    return {scale(n), bias(n), scale(n + 1), bias(n + 1)};
  }
  LayerScalePair LayerScales(int32_t column) const {
    const auto scale = [&](int32_t n) {
      return n < o_.n && o_.layer_scale ? o_.layer_scale[n] : 1;
    };
    return {scale(origin_.column + column), scale(origin_.column + column + 1)};
  }

 private:
  static constexpr WgmmaTileShape kShape = ShapeOf(kTiles);
  static constexpr uint32_t kBase = kSwizzleAtom;
  static constexpr int kAllSlabs = kShape.rows / kWgmmaRows;
  static constexpr int kSums = kShape.columns / 2;
  using Thread = std::array<int32_t, kSums>;

  void LoadBox(uint32_t to, const int8_t* from, int64_t stride, int32_t rows, int32_t box_rows,
               int32_t k, int32_t row) {
    for (int32_t i = 0; i < box_rows; ++i) {
      for (int32_t j = 0; j < kStageDepth; ++j) {
        const bool inside = row + i < rows && k + j < o_.k;
        memory_[Swizzled(to + static_cast<uint32_t>(i * kStageDepth + j))] =
            inside ? from[(row + i) * stride + k + j] : int8_t{0};
      }
    }
  }

  // 32 bytes of each of `rows` rows, as the tensor core reads them.
  std::vector<int8_t> Operand(uint64_t descriptor, int32_t rows) const {
    const auto start = static_cast<uint32_t>(descriptor & 0x3fffu) << 4;
    const auto stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fffu) << 4;
    std::vector<int8_t> bytes;
    for (uint32_t row = 0; row < static_cast<uint32_t>(rows); ++row) {
      for (uint32_t k = 0; k < kWgmmaDepth; ++k) {
        bytes.push_back(memory_[Swizzled(start + row / 8 * stride + row % 8 * 128 + k)]);
      }
    }
    return bytes;
  }

  void Multiply(uint32_t stage, int slab) {
    const uint64_t x = WgmmaDescriptor(kBase + StageX(kShape, stage)) +
                       static_cast<uint64_t>(slab * kWgmmaRows * kStageDepth >> 4);
    const uint64_t w = WgmmaDescriptor(kBase + StageW(kShape, stage));
    for (int step = 0; step < kStageDepth / kWgmmaDepth; ++step) {
      const std::vector<int8_t> rows = Operand(AdvancedK(x, step), kWgmmaRows);
      const std::vector<int8_t> columns = Operand(AdvancedK(w, step), kShape.columns);
      for (int32_t thread = 0; thread < kWarpgroupThreads; ++thread) {
        for (int32_t index = 0; index < kSums; ++index) {
          const SlabPlace place = PlaceOf(thread, index);
          const int8_t* a = rows.data() + place.row * kWgmmaDepth;
          const int8_t* b = columns.data() + place.column * kWgmmaDepth;
          int32_t sum = 0;
          for (int k = 0; k < kWgmmaDepth; ++k) sum += a[k] * b[k];
          sums_[static_cast<size_t>(slab)][static_cast<size_t>(thread)]
               [static_cast<size_t>(index)] += sum;
        }
      }
    }
  }

  void FinishWarp(int slab, int32_t warp) {
    const int32_t row = origin_.row + slab * kWgmmaRows + warp * 16;
    for (int chunk = 0; chunk < kShape.columns / kChunkColumns; ++chunk) {
      const int32_t column = origin_.column + chunk * kChunkColumns;
      if (column >= o_.n) return;
      for (int pair = 0; pair < kChunkPairs; ++pair) StagePair(slab, warp, row, chunk, pair);
      for (uint32_t i = 0; i < 32 * kPieceTurns; ++i) {
        const Piece piece = PieceOf(i % 32, i / 32);
        Words words;
        std::memcpy(&words, staging_.data() + TakenAddress(TakenBegin(i % 32), i / 32),
                    sizeof(words));
        StorePiece(row + static_cast<int32_t>(piece.row),
                   column + static_cast<int32_t>(piece.piece) * 8, words);
      }
    }
  }

  // stmatrix.x4: lane l holds, of each matrix, row l / 4 and values 2 (l % 4) and the next.
  void StagePair(int slab, int32_t warp, int32_t row, int chunk, int pair) {
    for (int32_t lane = 0; lane < 32; ++lane) {
      ResidualPairs residual{};
      const int32_t mine = row + lane / 4;
      if constexpr (kEpilogue == WgmmaEpilogue::kResidual) {
        residual = LoadResidual(o_, mine, origin_.column + chunk * kChunkColumns, lane);
      }
      float scale_x[2] = {};
      for (int i = 0; i < 2; ++i) {
        if (mine + 8 * i < o_.m) scale_x[i] = o_.scale_x[(mine + 8 * i) * o_.scale_x_step];
      }
      int32_t sums[kSums];
      const Thread& held = sums_[static_cast<size_t>(slab)][static_cast<size_t>(warp * 32 + lane)];
      std::copy(held.begin(), held.end(), sums);
      const Words words = StageWords<kEpilogue>(sums, scale_x, residual, *this, lane, chunk, pair);
      for (int32_t matrix = 0; matrix < 4; ++matrix) {
        const auto of_row = static_cast<uint32_t>(matrix * 8 + lane / 4);
        const uint32_t address =
            StoreMatrixAddress(StoreMatrixBegin(of_row), static_cast<uint32_t>(pair));
        std::memcpy(staging_.data() + address + lane % 4 * 4, &words.word[matrix], 4);
      }
    }
  }

  void StorePiece(int32_t row, int32_t column, const Words& words) {
    if constexpr (kEpilogue == WgmmaEpilogue::kCodes) {
      switch (o_.activation) {
        case ActivationKind::kGeluErf:
          return StoreCodes<ActivationKind::kGeluErf>(o_, row, column, words);
        case ActivationKind::kGeluTanh:
          return StoreCodes<ActivationKind::kGeluTanh>(o_, row, column, words);
        case ActivationKind::kQuickGelu:
          return StoreCodes<ActivationKind::kQuickGelu>(o_, row, column, words);
        case ActivationKind::kSilu:
          return StoreCodes<ActivationKind::kSilu>(o_, row, column, words);
      }
    } else {
      StoreHalves(o_, row, column, words);
    }
  }

  const WgmmaProduct& product_;
  const WgmmaOutputs& o_;
  TileOrigin origin_{};
  std::vector<int8_t> memory_ = std::vector<int8_t>(kBase + kWgmmaSharedMemory);
  std::array<uint8_t, kStagingBytes> staging_{};
  std::array<std::array<Thread, kWarpgroupThreads>, kAllSlabs> sums_{};
};

template <WgmmaTiles kTiles, WgmmaEpilogue kEpilogue>
void Emulate(const WgmmaProduct& product) {
  const WgmmaOutputs& o = product.outputs;
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  const WgmmaGrid grid = GridOf(shape, o.m, o.n, o.k);
  Block<kTiles, kEpilogue> block(product);
  for (int32_t index = 0; index < ClusterTiles(grid); ++index) {
    for (int32_t rank = 0; rank < kWgmmaClusterSize; ++rank) {
      block.Tile(OriginOf(shape, grid, index, rank), grid.k_blocks);
    }
  }
}

template <WgmmaTiles kTiles>
void Emulate(const WgmmaProduct& product) {
  switch (product.epilogue) {
    case WgmmaEpilogue::kHalf:
      return Emulate<kTiles, WgmmaEpilogue::kHalf>(product);
    case WgmmaEpilogue::kResidual:
      return Emulate<kTiles, WgmmaEpilogue::kResidual>(product);
    case WgmmaEpilogue::kCodes:
      return Emulate<kTiles, WgmmaEpilogue::kCodes>(product);
  }
}

template <WgmmaTiles kTiles>
void ExpectTheFormula() {
  for (const int epilogue : {0, 1, 2}) {
    const auto kind = static_cast<WgmmaEpilogue>(epilogue);
    for (const auto& [m, n, k] : {std::array{65, 80, 588}, {1, 81, 1}, {130, 300, 127}}) {
      WgmmaCase given = MakeCase(kind, ActivationKind::kGeluTanh, m, n, k);
      ASSERT_EQ(WgmmaRefuses(given.product), "");
      const std::vector<uint8_t> expected = PlainOutput(given);
      Emulate<kTiles>(given.product);
      EXPECT_EQ(Compare(given.product.epilogue, expected, given.out), "")
          << epilogue << ": " << m << " " << n << " " << k;
    }
  }
}

TEST(WgmmaDataflow, OfPingPong64x128IsTheFormula) {
  ExpectTheFormula<WgmmaTiles::kPingPong64x128>();
}
TEST(WgmmaDataflow, OfPingPong128x128IsTheFormula) {
  ExpectTheFormula<WgmmaTiles::kPingPong128x128>();
}
TEST(WgmmaDataflow, OfCooperative128x256IsTheFormula) {
  ExpectTheFormula<WgmmaTiles::kCooperative128x256>();
}
TEST(WgmmaDataflow, OfCooperative256x128IsTheFormula) {
  ExpectTheFormula<WgmmaTiles::kCooperative256x128>();
}

TEST(WgmmaDataflow, OfALongTailIsTheFormula) {
  WgmmaCase given = MakeCase(WgmmaEpilogue::kHalf, ActivationKind::kGeluTanh, 65, 80, 4304);
  const std::vector<uint8_t> expected = PlainOutput(given);
  Emulate<WgmmaTiles::kPingPong64x128>(given.product);
  EXPECT_EQ(Compare(given.product.epilogue, expected, given.out), "");
}

TEST(WgmmaDataflow, OfEveryActivationWithoutBiasAndOfOneScaleIsTheFormula) {
  for (const ActivationKind kind : {ActivationKind::kGeluErf, ActivationKind::kQuickGelu,
                                    ActivationKind::kSilu, ActivationKind::kGeluTanh}) {
    WgmmaCase given = MakeCase(WgmmaEpilogue::kCodes, kind, 33, 72, 96);
    given.product.outputs.bias = nullptr;
    given.product.outputs.scale_x = given.scale_x.data() + 1;
    given.product.outputs.scale_x_step = 0;
    const std::vector<uint8_t> expected = PlainOutput(given);
    Emulate<WgmmaTiles::kPingPong64x128>(given.product);
    EXPECT_EQ(Compare(given.product.epilogue, expected, given.out), "") << static_cast<int>(kind);
  }
}

// The stream may be the output; a model without layer scales has ones.
TEST(WgmmaDataflow, OfAStreamInPlaceIsTheFormula) {
  WgmmaCase given = MakeCase(WgmmaEpilogue::kResidual, ActivationKind::kGeluTanh, 65, 81, 130);
  std::memcpy(given.out.data(), given.residual.data(), given.out.size());
  WgmmaOutputs& outputs = given.product.outputs;
  outputs.layer_scale = nullptr;
  const std::vector<uint8_t> expected = PlainOutput(given);
  outputs.residual = reinterpret_cast<const uint16_t*>(given.out.data());
  Emulate<WgmmaTiles::kPingPong128x128>(given.product);
  EXPECT_EQ(Compare(given.product.epilogue, expected, given.out), "");
}

TEST(WgmmaDataflow, OfSwappedScalesIsNotTheFormula) {
  WgmmaCase given = MakeCase(WgmmaEpilogue::kHalf, ActivationKind::kGeluTanh, 65, 80, 588);
  const std::vector<uint8_t> expected = PlainOutput(given);
  std::swap(given.scale_w[78], given.scale_w[79]);
  Emulate<WgmmaTiles::kPingPong64x128>(given.product);
  EXPECT_NE(Compare(given.product.epilogue, expected, given.out), "");
}

}  // namespace
}  // namespace w8a8
