// The whole flow of data of the sm_90a INT8 product on the host: TMA's boxes with their swizzle and
// zeros, operands read through the descriptors, fragments, stmatrix, pieces. With the addresses and
// the arithmetic of the kernel; equal in every bit to the plain formula.
#include <array>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cuda/wgmma_product.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::Equal;

// Random codes, scales and a stream, in rows with padding that holds something else.
struct Case {
  WgmmaProduct product;
  std::vector<int8_t> x, w;
  std::vector<float> scale_x, scale_w, bias, layer_scale;
  std::vector<uint16_t> residual;
  std::vector<uint8_t> out;
};

constexpr uint8_t kUntouched = 0xa5;

float Uniform(uint64_t seed, int64_t index) {
  return static_cast<float>(CounterHash(seed, static_cast<uint64_t>(index)) >> 40) * 0x1p-24f;
}

std::vector<int8_t> RandomCodes(uint64_t seed, int64_t count) {
  std::vector<int8_t> codes(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    codes[static_cast<size_t>(i)] = static_cast<int8_t>(Uniform(seed, i) * 256.0f - 128.0f);
  }
  return codes;
}

std::vector<float> RandomFloats(uint64_t seed, int64_t count, float low, float high) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    values[static_cast<size_t>(i)] = low + (high - low) * Uniform(seed, i);
  }
  return values;
}

Case MakeCase(WgmmaEpilogue epilogue, ActivationKind activation, int32_t m, int32_t n, int32_t k) {
  Case made;
  const int64_t row = (int64_t{k} + 15) / 16 * 16 + 16;
  made.x = RandomCodes(1, m * row);
  made.w = RandomCodes(2, n * row);
  const float scale = 3.0f / 5000.0f / std::sqrt(static_cast<float>(k));  // y of a few units
  made.scale_x = RandomFloats(3, m, scale, 2 * scale);
  made.scale_w = RandomFloats(4, n, 0.5f, 1.0f);
  made.bias = RandomFloats(5, n, -1.0f, 1.0f);
  made.layer_scale = RandomFloats(6, n, -2.0f, 2.0f);
  const int64_t values = (int64_t{n} + 7) / 8 * 8 + 8;
  for (const float value : RandomFloats(7, m * values, -4.0f, 4.0f)) {
    made.residual.push_back(ToHalf(value).bits);
  }
  made.scale_x[0] = INFINITY;  // Inf and NaN go through, as the formula says
  made.residual[1] = 0x7e00;
  made.out.assign(static_cast<size_t>(m * values * 2), kUntouched);
  made.product.epilogue = epilogue;
  made.product.x_stride = made.product.w_stride = row;
  made.product.outputs = {.m = m,
                          .n = n,
                          .k = k,
                          .scale_x = made.scale_x.data(),
                          .scale_x_step = 1,
                          .scale_w = made.scale_w.data(),
                          .bias = made.bias.data(),
                          .layer_scale = made.layer_scale.data(),
                          .residual = made.residual.data(),
                          .residual_stride = values,
                          .out = made.out.data(),
                          .out_stride = values * 2,
                          .activation = activation,
                          .inv_scale = 30.0f};
  made.product.x = made.x.data();
  made.product.w = made.w.data();
  return made;
}

float PlainActivation(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return GeluErf(x);
    case ActivationKind::kGeluTanh:
      return GeluTanh(x);
    case ActivationKind::kQuickGelu:
      return QuickGelu(x);
    case ActivationKind::kSilu:
      return Silu(x);
  }
  return 0;
}

// The formula of wgmma_product.h, straight from quant/numerics.h.
std::vector<uint8_t> PlainOutput(const Case& given) {
  std::vector<uint8_t> out = given.out;
  const WgmmaProduct& product = given.product;
  const WgmmaOutputs& o = product.outputs;
  for (int64_t i = 0; i < o.m; ++i) {
    for (int64_t j = 0; j < o.n; ++j) {
      int32_t sum = 0;
      for (int64_t k = 0; k < o.k; ++k) {
        sum += product.x[i * product.x_stride + k] * product.w[j * product.w_stride + k];
      }
      const float bias = o.bias == nullptr ? 0.0f : o.bias[j];
      Half y = ToHalf(Dequantize(sum, o.scale_w[j], o.scale_x[i * o.scale_x_step], bias));
      uint8_t* row = out.data() + i * o.out_stride;
      if (product.epilogue == WgmmaEpilogue::kCodes) {
        const Half activated = ToHalf(PlainActivation(o.activation, ToFloat(y)));
        row[j] = static_cast<uint8_t>(ActivationCode(ToFloat(activated), o.inv_scale));
        continue;
      }
      if (product.epilogue == WgmmaEpilogue::kResidual) {
        const float layer_scale = o.layer_scale == nullptr ? 1.0f : o.layer_scale[j];
        const Half stream{o.residual[i * o.residual_stride + j]};
        y = ToHalf(Residual(layer_scale, ToFloat(y), ToFloat(stream)));
      }
      std::memcpy(row + j * 2, &y.bits, 2);
    }
  }
  return out;
}

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

// Values, where they are FP16: any NaN equals any NaN.
std::string Compare(const Case& actual, const std::vector<uint8_t>& expected) {
  if (actual.product.epilogue == WgmmaEpilogue::kCodes) {
    const std::vector<int8_t> a(actual.out.begin(), actual.out.end());
    return Equal(std::vector<int8_t>(expected.begin(), expected.end()), a);
  }
  std::vector<Half> a(actual.out.size() / 2), e(expected.size() / 2);
  std::memcpy(a.data(), actual.out.data(), actual.out.size());
  std::memcpy(e.data(), expected.data(), expected.size());
  return Equal(e, a);
}

template <WgmmaTiles kTiles>
void ExpectTheFormula() {
  for (const int epilogue : {0, 1, 2}) {
    const auto kind = static_cast<WgmmaEpilogue>(epilogue);
    for (const auto& [m, n, k] : {std::array{65, 80, 588}, {1, 81, 1}, {130, 300, 127}}) {
      Case given = MakeCase(kind, ActivationKind::kGeluTanh, m, n, k);
      ASSERT_EQ(WgmmaRefuses(given.product), "");
      const std::vector<uint8_t> expected = PlainOutput(given);
      Emulate<kTiles>(given.product);
      EXPECT_EQ(Compare(given, expected), "") << epilogue << ": " << m << " " << n << " " << k;
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
  Case given = MakeCase(WgmmaEpilogue::kHalf, ActivationKind::kGeluTanh, 65, 80, 4304);
  const std::vector<uint8_t> expected = PlainOutput(given);
  Emulate<WgmmaTiles::kPingPong64x128>(given.product);
  EXPECT_EQ(Compare(given, expected), "");
}

TEST(WgmmaDataflow, OfEveryActivationWithoutBiasAndOfOneScaleIsTheFormula) {
  for (const ActivationKind kind : {ActivationKind::kGeluErf, ActivationKind::kQuickGelu,
                                    ActivationKind::kSilu, ActivationKind::kGeluTanh}) {
    Case given = MakeCase(WgmmaEpilogue::kCodes, kind, 33, 72, 96);
    given.product.outputs.bias = nullptr;
    given.product.outputs.scale_x = given.scale_x.data() + 1;
    given.product.outputs.scale_x_step = 0;
    const std::vector<uint8_t> expected = PlainOutput(given);
    Emulate<WgmmaTiles::kPingPong64x128>(given.product);
    EXPECT_EQ(Compare(given, expected), "") << static_cast<int>(kind);
  }
}

// The stream may be the output; a model without layer scales has ones.
TEST(WgmmaDataflow, OfAStreamInPlaceIsTheFormula) {
  Case given = MakeCase(WgmmaEpilogue::kResidual, ActivationKind::kGeluTanh, 65, 81, 130);
  std::memcpy(given.out.data(), given.residual.data(), given.out.size());
  WgmmaOutputs& outputs = given.product.outputs;
  outputs.layer_scale = nullptr;
  const std::vector<uint8_t> expected = PlainOutput(given);
  outputs.residual = reinterpret_cast<const uint16_t*>(given.out.data());
  Emulate<WgmmaTiles::kPingPong128x128>(given.product);
  EXPECT_EQ(Compare(given, expected), "");
}

TEST(WgmmaDataflow, SeesASwappedScaleAndAShiftedColumn) {
  Case given = MakeCase(WgmmaEpilogue::kHalf, ActivationKind::kGeluTanh, 65, 80, 588);
  const std::vector<uint8_t> expected = PlainOutput(given);
  std::swap(given.scale_w[78], given.scale_w[79]);
  Emulate<WgmmaTiles::kPingPong64x128>(given.product);
  EXPECT_NE(Compare(given, expected), "");
}

}  // namespace
}  // namespace w8a8
