// The model of the tile instructions, and the amx set on it: that the model is strict, and that a
// fault in it would be seen.
#include "tests/cpu/simde/tile_model.h"

#include <functional>
#include <stdexcept>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/attention.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/packed_floats.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/kernels_on_simde.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using simde::TileModel;
using simde::Tiles;
using test::Equal;

struct alignas(64) Config {
  uint8_t bytes[64] = {1};

  // Tile `tile` is [rows, row_bytes].
  Config& Set(int tile, int rows, int row_bytes) {
    bytes[16 + 2 * tile] = static_cast<uint8_t>(row_bytes);
    bytes[48 + tile] = static_cast<uint8_t>(rows);
    return *this;
  }
};

bool Throws(const std::function<void()>& act) {
  try {
    act();
    return false;
  } catch (const std::logic_error&) {
    return true;
  }
}

TEST(TileModel, RefusesWhatTheCpuRefuses) {
  TileModel tiles;
  uint8_t memory[1024] = {};
  EXPECT_TRUE(Throws([&] { tiles.Zero(0); })) << "no configuration";
  EXPECT_TRUE(Throws([&] { tiles.Configure(Config().Set(0, 17, 64).bytes); }));
  EXPECT_TRUE(Throws([&] { tiles.Configure(Config().Set(0, 16, 65).bytes); }));
  EXPECT_TRUE(Throws([&] { tiles.Configure(Config().Set(0, 0, 64).bytes); }));
  EXPECT_TRUE(Throws([&] { tiles.Configure(Config().Set(8, 16, 64).bytes); }));
  EXPECT_TRUE(Throws([&] { tiles.Configure(memory); })) << "palette 0";
  tiles.Configure(Config().Set(0, 2, 12).Set(1, 2, 8).Set(2, 2, 12).Set(3, 3, 12).bytes);
  const auto multiply = [&](int sums, int left, int right) {
    return Throws([&] { tiles.MultiplyBytes<uint8_t, int8_t>(sums, left, right); });
  };
  EXPECT_FALSE(multiply(0, 1, 2));
  EXPECT_TRUE(multiply(3, 1, 2)) << "rows of the sums";
  EXPECT_TRUE(multiply(0, 1, 3)) << "depths";
  EXPECT_TRUE(multiply(1, 0, 2)) << "columns of the sums";
  EXPECT_TRUE(multiply(0, 0, 2)) << "twice the same tile";
  EXPECT_TRUE(multiply(0, 1, 4)) << "not configured";
  tiles.Release();
  EXPECT_TRUE(multiply(0, 1, 2)) << "released";
}

TEST(TileModel, LoadsAndStoresWhatIsConfigured) {
  TileModel tiles;
  tiles.Configure(Config().Set(5, 3, 4).bytes);
  uint8_t from[3][8], to[4][8] = {};
  for (size_t i = 0; i < sizeof from; ++i) from[i / 8][i % 8] = static_cast<uint8_t>(i + 1);
  tiles.Load(5, from, 8);
  tiles.Store(5, to, 8);
  for (int r = 0; r < 4; ++r) {
    for (int i = 0; i < 8; ++i) EXPECT_EQ(to[r][i], r < 3 && i < 4 ? from[r][i] : 0);
  }
}

template <class Left, class Right>
void ExpectProducts(uint64_t seed) {
  TileModel tiles;
  tiles.Configure(Config().Set(0, 3, 8).Set(1, 3, 20).Set(2, 5, 8).bytes);
  uint8_t left[3][20], right[5][8];
  int32_t sums[3][2] = {{1, -2}, {INT32_MAX, INT32_MIN}, {0, 7}};
  for (size_t i = 0; i < 60; ++i) left[i / 20][i % 20] = static_cast<uint8_t>(CounterHash(seed, i));
  for (size_t i = 0; i < 40; ++i) {
    right[i / 8][i % 8] = static_cast<uint8_t>(CounterHash(seed + 1, i));
  }
  uint32_t expected[3][2];
  for (int m = 0; m < 3; ++m) {
    for (int n = 0; n < 2; ++n) {
      expected[m][n] = static_cast<uint32_t>(sums[m][n]);
      for (int k = 0; k < 20; ++k) {
        expected[m][n] += static_cast<uint32_t>(int{static_cast<Left>(left[m][k])} *
                                                static_cast<Right>(right[k / 4][4 * n + k % 4]));
      }
    }
  }
  tiles.Load(0, sums, 8);
  tiles.Load(1, left, 20);
  tiles.Load(2, right, 8);
  tiles.MultiplyBytes<Left, Right>(0, 1, 2);
  tiles.Store(0, sums, 8);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(static_cast<uint32_t>(sums[i / 2][i % 2]), expected[i / 2][i % 2]) << i;
  }
}

TEST(TileModel, SumsProductsOfBytesModulo32Bits) {
  ExpectProducts<uint8_t, int8_t>(/*seed=*/1);
  ExpectProducts<int8_t, int8_t>(/*seed=*/3);
}

// Subnormal FP16 values count; BF16's least normal value is 2^-126, and what is below counts as 0.
TEST(TileModel, SumsProductsOfPairsInBinary32) {
  TileModel tiles;
  tiles.Configure(Config().Set(0, 1, 4).Set(1, 1, 8).Set(2, 2, 4).bytes);
  const auto multiply = [&tiles](float begin, const uint16_t(&left)[4], const uint16_t(&right)[4],
                                 float (*to_float)(uint16_t)) {
    float sum = begin;
    tiles.Load(0, &sum, 4);
    tiles.Load(1, left, 8);
    tiles.Load(2, right, 4);
    tiles.MultiplyPairs(0, 1, 2, to_float);
    tiles.Store(0, &sum, 4);
    return sum;
  };
  const uint16_t halves[] = {0x3c00, 0x4000, 0x3800, 0xc200};
  const uint16_t others[] = {0x3c00, 0x3c00, 0x3e00, 0x3800};
  EXPECT_EQ(multiply(0.5f, halves, others, TileModel::OfHalf), 0.5f + 1 + 2 + 0.75f - 1.5f);
  const uint16_t least[] = {0x0001, 0x0000, 0x0000, 0x8002};
  EXPECT_EQ(multiply(0.0f, least, others, TileModel::OfHalf), 0x1p-24f - 0x1p-24f);
  EXPECT_EQ(multiply(0.0f, least, halves, TileModel::OfHalf), 0x1p-24f + 0x1.8p-22f);
  const uint16_t bf16[] = {0x3f80, 0xc000, 0x007f, 0x0080},
                 same[] = {0x3f80, 0x3f80, 0x7f00, 0x3f00};
  EXPECT_EQ(multiply(4.0f, bf16, same, TileModel::OfBf16), 3.0f);
}

std::vector<Half> RunOn(const Int8Kernels& kernels, int64_t m) {
  const test::LayerShape shape{m, 40, 130};
  const std::vector<Half> x = test::RandomHalves(m * shape.k, /*seed=*/5, test::Values::kFinite);
  std::vector<Half> y(static_cast<size_t>(m * shape.n));
  CodeRows rows;
  QuantizeRows(kernels, test::View(x, m), {}, &rows);
  Int8Linear(test::RandomLinear(shape, /*seed=*/6), kernels)
      .Multiply(rows, MatView<Half>{y.data(), m, shape.n, shape.n});
  return y;
}

TEST(AmxSet, MultipliesOnTilesFromSixteenRowsOn) {
  for (const int64_t m : {15, 16, 17}) {
    const int64_t before = Tiles().products;
    RunOn(kAmxInt8KernelsOnSimde, m);
    EXPECT_EQ(Tiles().products > before, m >= 16) << m;
    EXPECT_FALSE(Tiles().configured) << "tiles are released";
  }
}

TEST(AmxSet, MultipliesFp16ValuesOnTilesWhateverTheRows) {
  for (const FloatProduct* product : {&kAmxFp16ProductOnSimde, &kAmxBf16ProductOnSimde}) {
    for (const int64_t m : {1, 15, 16, 17}) {
      const int64_t before = Tiles().products;
      const std::vector<float> ones(static_cast<size_t>(m * 40), 1.0f);
      std::vector<float> y(static_cast<size_t>(m * m));
      OperandScratch scratch;
      PackedFloats({ones.data(), m, 40, 40}, *product)
          .Multiply(MatView<const float>{ones.data(), m, 40, 40}, nullptr,
                    MatView<float>{y.data(), m, m, m}, &scratch);
      EXPECT_EQ(Equal(std::vector<float>(y.size(), 40.0f), y), "") << product->name << " M " << m;
      EXPECT_GT(Tiles().products, before) << product->name << " M " << m;
      EXPECT_FALSE(Tiles().configured) << product->name << ": tiles are released";
    }
  }
}

// One query, and more than the tiles of a call hold.
TEST(AmxSet, AttendsOnTilesWhateverTheQueries) {
  for (const AttentionKernel* kernel :
       {&kAmxFp16AttentionOnSimde, &kAmxBf16AttentionOnSimde, &kAmxSplitAttentionOnSimde}) {
    for (const int64_t queries : {1, 16, 17, 70}) {
      const int64_t before = Tiles().products;
      const std::vector<Half> ones(static_cast<size_t>(queries * 24), ToHalf(1.0f));
      std::vector<Half> out(ones.size());
      AttentionScratch scratch;
      const MatView<const Half> all{ones.data(), queries, 24, 24};
      RunAttention(*kernel,
                   {.q = all,
                    .k = all,
                    .v = all,
                    .out = {out.data(), queries, 24, 24},
                    .heads = 1,
                    .head_dim = 24},
                   &scratch);
      EXPECT_EQ(Equal(ones, out), "") << kernel->name << ", " << queries << " queries";
      EXPECT_GT(Tiles().products, before) << kernel->name << ", " << queries << " queries";
      EXPECT_FALSE(Tiles().configured) << kernel->name << ": tiles are released";
    }
  }
}

TEST(AmxSet, NeedsItsThreadConfigured) {
  Int8Kernels kernels = kAmxInt8KernelsOnSimde;
  kernels.begin_worker = nullptr;
  EXPECT_THROW(RunOn(kernels, 16), std::logic_error);
}

TEST(AmxSet, AFaultOfTheModelIsFound) {
  const std::vector<Half> expected = RunOn(*test::ScalarSet().int8, 33);
  EXPECT_EQ(Equal(expected, RunOn(kAmxInt8KernelsOnSimde, 33)), "");
  Tiles().swaps_operands = true;
  const std::vector<Half> faulty = RunOn(kAmxInt8KernelsOnSimde, 33);
  Tiles().swaps_operands = false;
  EXPECT_NE(Equal(expected, faulty), "");
}

}  // namespace
}  // namespace w8a8
