// The sizes of blocks fit the caches that they are for.
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
ProductSize Amx(int64_t m, int64_t k, int64_t passes) {
  return {.m = m, .row_bytes = k, .steps = k / 64, .step_bytes = 64 * kAmx.cols, .passes = passes};
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
  EXPECT_EQ(BlockingOf(Amx(729, 1152, 1), kAmx, caches).steps, 18);
  EXPECT_EQ(BlockingOf(Amx(729, 4352, 1), kAmx, caches).steps, 17);  // 68 in four parts
  EXPECT_LE(BlockingOf(Amx(9999, 4352, 1), kAmx, caches).rows, kAmx.most_rows_in_parts);
  EXPECT_EQ(BlockingOf(Amx(32, 4352, 1), kAmx, caches).steps, 68);  // nothing to come back for
}

// Several products that make a sum are added part by part: alike for one row and for all.
TEST(BlockingOf, OrderOfSumsDependsOnNoRow) {
  const Caches caches = {.first = 48 << 10, .second = 2 << 20};
  for (const int64_t k : {1152, 4352}) {
    const int64_t steps = BlockingOf(Amx(9999, k, 4), kAmx, caches).steps;
    for (const int64_t m : {1, 16, 32, 33, 729}) {
      EXPECT_EQ(BlockingOf(Amx(m, k, 4), kAmx, caches).steps, steps) << m << " " << k;
    }
  }
}

}  // namespace
}  // namespace w8a8
