// The model of the tile instructions, and the amx set on it: that the model is strict, and that a
// fault in it would be seen.
#include "tests/cpu/simde/tile_model.h"

#include <functional>
#include <stdexcept>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/int8_linear.h"
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
