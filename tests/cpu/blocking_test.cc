// The sizes of blocks fit the caches that they are for.
#include <utility>

#include <gtest/gtest.h>

#include "runtime/cpu/caches.h"
#include "runtime/cpu/gemm_tiles.h"

namespace w8a8 {
namespace {

constexpr TileSize kVnni = {.rows = 12, .cols = 32};
constexpr TileSize kAmx = {.rows = 32, .cols = 32, .most_rows_in_parts = 512};

ProductSize Vnni(int64_t m, int64_t k) {
  return {.m = m, .row_bytes = k, .steps = k / 4, .step_bytes = 4 * kVnni.cols};
}
ProductSize Amx(int64_t m, int64_t k) {
  return {.m = m, .row_bytes = k, .steps = k / 64, .step_bytes = 64 * kAmx.cols};
}
// FP16 values in two parts of 2 bytes; the sums of all panels may wait.
ProductSize Split(int64_t m, int64_t n, int64_t k) {
  return {.m = m,
          .row_bytes = 4 * k,
          .steps = k / 32,
          .step_bytes = 128 * kAmx.cols,
          .panels = n / kAmx.cols};
}

TEST(CachesOfCore, HoldsWhatCachesDo) {
  EXPECT_GE(CachesOfCore().first, 16 << 10);
  EXPECT_GT(CachesOfCore().second, CachesOfCore().first);
}

TEST(BlockingOf, FitsHalfOfTheSecondLevel) {
  for (const int64_t second : {256 << 10, 512 << 10, 1 << 20, 2 << 20}) {
    for (const int64_t k : {64, 768, 1152, 4096, 4352}) {
      for (const int64_t m : {1, 12, 13, 196, 729, 2916, 100000}) {
        const Blocking blocking =
            BlockingOf(Vnni(m, k), kVnni, {.first = 32 << 10, .second = second});
        EXPECT_EQ(blocking.rows % kVnni.rows, 0);
        EXPECT_EQ(blocking.steps, k / 4);
        if (blocking.rows > kVnni.rows) {
          EXPECT_LE(blocking.rows * k + 2 * k * kVnni.cols, second / 2) << m << " " << k;
        }
      }
    }
  }
}

TEST(BlockingOf, MakesEvenBlocks) {
  const Caches caches = {.first = 32 << 10, .second = 1 << 20};
  EXPECT_EQ(BlockingOf(Vnni(729, 1152), kVnni, caches).rows,
            372);                                                  // two, where one has 390 at most
  EXPECT_EQ(BlockingOf(Vnni(196, 768), kVnni, caches).rows, 204);  // all
}

TEST(BlockingOf, CutsInputsForAmxOnly) {
  const Caches caches = {.first = 48 << 10, .second = 2 << 20};
  EXPECT_EQ(BlockingOf(Amx(729, 1152), kAmx, caches).steps, 18);
  EXPECT_EQ(BlockingOf(Amx(729, 4352), kAmx, caches).steps, 17);  // 68 in four parts
  EXPECT_LE(BlockingOf(Amx(9999, 4352), kAmx, caches).rows, kAmx.most_rows_in_parts);
  EXPECT_EQ(BlockingOf(Amx(32, 4352), kAmx, caches).steps, 68);   // nothing to come back for
  EXPECT_EQ(BlockingOf(Amx(729, 4352), kAmx, caches).passes, 1);  // no sums may wait
}

// Bytes of weights and of sums that pass the second-level cache.
int64_t BytesPassed(const ProductSize& size, const Blocking& blocking) {
  const int64_t blocks = (size.m + blocking.rows - 1) / blocking.rows;
  return blocks * size.panels * size.steps * size.step_bytes +
         (blocking.passes - 1) * 2 * size.m * size.panels * kAmx.cols * 4;
}

// The smaller of the two costs: all weights again for every block of rows, or sums that wait.
TEST(BlockingOf, PassesRowsInPartsWhereLongRowsWouldReadWeightsTooOften) {
  const Caches caches = {.first = 48 << 10, .second = 2 << 20};
  for (const int64_t m : {33, 196, 729, 736}) {
    for (const int64_t k : {1536, 3072, 4096, 4352}) {
      ProductSize size = Split(m, 1152, k);
      const Blocking blocking = BlockingOf(size, kAmx, caches);
      EXPECT_LE(blocking.rows * 4 * k / blocking.passes, caches.second / 2) << m << " " << k;
      EXPECT_LE(blocking.rows, m + kAmx.rows - 1) << m << " " << k;
      const int64_t panels = std::exchange(size.panels, 0);
      const Blocking whole = BlockingOf(size, kAmx, caches);
      size.panels = panels;
      EXPECT_LE(BytesPassed(size, blocking), BytesPassed(size, whole)) << m << " " << k;
    }
  }
  EXPECT_GT(BlockingOf(Split(729, 1152, 4352), kAmx, caches).passes, 1);
  EXPECT_EQ(BlockingOf(Split(32, 1152, 4352), kAmx, caches).passes, 1);  // one tile of rows
}

}  // namespace
}  // namespace w8a8
