// The model of a block finds what it says it finds, and computes what PTX says.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "runtime/cuda/block.h"
#include "tests/cuda/device_memory.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

using test::Contains;
using test::DeviceArray;
using test::ErrorOf;

std::vector<int32_t> Numbers(size_t count) {
  std::vector<int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// y reversed within each block, through shared memory.
void Reverse(const int32_t* x, int32_t* y) {
  const int t = ThreadIndex(), n = BlockThreads();
  int32_t* shared = SharedAs<int32_t>(0);
  Store(&shared[t], Load(&x[BlockIndex() * n + t]));
  SyncThreads();
  Store(&y[BlockIndex() * n + t], Load(&shared[n - 1 - t]));
}

LaunchShape Shape(int64_t blocks, int threads) {
  return {.blocks = blocks, .threads = threads, .shared_bytes = static_cast<size_t>(threads) * 4};
}

TEST(BlockModel, ThreadsMeetAtABarrier) {
  const DeviceArray<int32_t> x(Numbers(3 * 96));
  const DeviceArray<int32_t> y(3 * 96);
  Launch(nullptr, Shape(3, 96), Reverse, x.data(), y.data());
  std::vector<int32_t> expected = Numbers(3 * 96);
  for (auto block = expected.begin(); block != expected.end(); block += 96) {
    std::reverse(block, block + 96);
  }
  EXPECT_EQ(y.Download(), expected);
  EXPECT_EQ(model::BarriersOfLastRun(), 1);
}

TEST(BlockModel, ABarrierThatIsMissingIsARace) {
  const DeviceArray<int32_t> x(Numbers(96));
  const DeviceArray<int32_t> y(96);
  model::Plant({.skipped_barrier = 0});
  const std::string error =
      ErrorOf([&] { Launch(nullptr, Shape(1, 96), Reverse, x.data(), y.data()); });
  model::Plant({});
  EXPECT_TRUE(Contains(error, "no barrier between") || Contains(error, "nobody wrote")) << error;
}

TEST(BlockModel, ABarrierThatSomeThreadsPassByIsNamed) {
  const auto kernel = [](int32_t from) {
    if (ThreadIndex() >= from) SyncThreads();
  };
  const std::string error =
      ErrorOf([&] { Launch(nullptr, Shape(1, 64), static_cast<void (*)(int32_t)>(kernel), 32); });
  EXPECT_TRUE(Contains(error, "thread 0 has ended; thread 32 waits at SyncThreads()")) << error;
}

TEST(BlockModel, LanesAtTwoOperationsAreNamed) {
  const auto kernel = [](int32_t* y) {
    if (Lane() == 7) {
      SyncWarp();
    } else {
      Store(&y[ThreadIndex()], static_cast<int32_t>(Ballot(true)));
    }
  };
  const DeviceArray<int32_t> y(32);
  const std::string error = ErrorOf(
      [&] { Launch(nullptr, Shape(1, 32), static_cast<void (*)(int32_t*)>(kernel), y.data()); });
  EXPECT_TRUE(Contains(error, "thread 0 is at a ballot, thread 7 of its warp at SyncWarp()"))
      << error;
}

TEST(BlockModel, AnElementTooManyIsOutOfBounds) {
  const DeviceArray<int32_t> x(Numbers(95));
  const DeviceArray<int32_t> y(96);
  const std::string error =
      ErrorOf([&] { Launch(nullptr, Shape(1, 96), Reverse, x.data(), y.data()); });
  EXPECT_TRUE(Contains(error, "thread 95 of block 0 reads 4 bytes outside")) << error;
}

TEST(BlockModel, WhatNobodyWroteIsNotRead) {
  const DeviceArray<int32_t> x(96);
  const DeviceArray<int32_t> y(96);
  EXPECT_TRUE(Contains(ErrorOf([&] { Launch(nullptr, Shape(1, 96), Reverse, x.data(), y.data()); }),
                       "nobody wrote"));
  EXPECT_TRUE(Contains(ErrorOf([&] { y.Download(); }), "nobody wrote"));
}

TEST(BlockModel, SharedMemoryDoesNotOutliveItsBlock) {
  const auto kernel = [](int32_t* y) {
    int32_t* shared = SharedAs<int32_t>(0);
    if (BlockIndex() == 0) Store(&shared[ThreadIndex()], 1);
    SyncThreads();
    Store(&y[ThreadIndex()], Load(&shared[ThreadIndex()]));
  };
  const DeviceArray<int32_t> y(32);
  EXPECT_TRUE(Contains(ErrorOf([&] {
                         Launch(nullptr, Shape(2, 32), static_cast<void (*)(int32_t*)>(kernel),
                                y.data());
                       }),
                       "no"));
}

TEST(BlockModel, TwoBlocksThatWriteOneElementAreNamed) {
  const auto kernel = [](int32_t* y) { Store(&y[ThreadIndex()], 1); };
  const DeviceArray<int32_t> y(32);
  EXPECT_TRUE(Contains(ErrorOf([&] {
                         Launch(nullptr, Shape(2, 32), static_cast<void (*)(int32_t*)>(kernel),
                                y.data());
                       }),
                       "writes with no barrier between"));
}

TEST(BlockModel, AtomicAdditionsAreInNoRace) {
  const auto kernel = [](uint64_t* sum) { AtomicAdd(sum, 3); };
  const DeviceArray<uint64_t> sum(std::vector<uint64_t>{4});
  Launch(nullptr, Shape(5, 64), static_cast<void (*)(uint64_t*)>(kernel), sum.data());
  EXPECT_EQ(sum.Download()[0], 4u + 3u * 5u * 64u);
}

TEST(BlockModel, AMisalignedAccessIsNamed) {
  const auto kernel = [](const std::byte* x) { Load(reinterpret_cast<const Vec16*>(x + 8)); };
  const DeviceArray<int32_t> x(Numbers(8));
  EXPECT_TRUE(Contains(ErrorOf([&] {
                         Launch(nullptr, Shape(1, 32),
                                static_cast<void (*)(const std::byte*)>(kernel),
                                reinterpret_cast<const std::byte*>(x.data()));
                       }),
                       "not aligned to 16"));
}

TEST(BlockModel, ShufflesAndBallotsGiveOtherLanesValues) {
  const auto kernel = [](int32_t* y, float* z) {
    const int t = ThreadIndex();
    Store(&y[t], ShuffleFrom(t, 5) + static_cast<int32_t>(Ballot(Lane() % 2 == 0) >> 1));
    Store(&z[t], ShuffleXor(static_cast<float>(t), 16));
  };
  const DeviceArray<int32_t> y(64);
  const DeviceArray<float> z(64);
  Launch(nullptr, Shape(1, 64), static_cast<void (*)(int32_t*, float*)>(kernel), y.data(),
         z.data());
  for (size_t t = 0; t < 64; ++t) {
    EXPECT_EQ(y.Download()[t], static_cast<int32_t>(t / 32 * 32 + 5 + 0x2aaaaaaau));
    EXPECT_EQ(z.Download()[t], static_cast<float>(t ^ 16u));
  }
}

// Lanes hold the fragments as the PTX manual draws them; operands by a formula of row, column and
// k.
template <class Left>
void ExpectProductsOfBytes(void (*multiply)(int32_t (&)[4], const uint32_t (&)[4],
                                            const uint32_t (&)[2])) {
  static constexpr auto kA = [](int row, int k) { return static_cast<Left>(row * 37 + k * 11); };
  static constexpr auto kB = [](int k, int col) { return static_cast<int8_t>(k * 29 - col * 53); };
  using Multiply = decltype(multiply);
  const auto kernel = [](int32_t* y, Multiply product) {
    const int group = Lane() / 4, quad = Lane() % 4;
    uint32_t a[4] = {}, b[2] = {};
    for (int i = 0; i < 16; ++i) {  // the i-th element of the A fragment
      const int row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
      const int k = 4 * quad + i % 4 + (i < 8 ? 0 : 16);
      a[i / 4] |= uint32_t{static_cast<uint8_t>(kA(row, k))} << (8 * (i % 4));
    }
    for (int i = 0; i < 8; ++i) {
      const int k = 4 * quad + i % 4 + (i < 4 ? 0 : 16);
      b[i / 4] |= uint32_t{static_cast<uint8_t>(kB(k, group))} << (8 * (i % 4));
    }
    int32_t c[4] = {1, 2, 3, 4};
    product(c, a, b);
    for (int i = 0; i < 4; ++i) {
      Store(&y[(group + 8 * (i / 2)) * 8 + 2 * quad + i % 2], c[i] - (i + 1));
    }
  };
  const DeviceArray<int32_t> y(16 * 8);
  Launch(nullptr, Shape(1, 32), static_cast<void (*)(int32_t*, Multiply)>(kernel), y.data(),
         multiply);
  const std::vector<int32_t> c = y.Download();
  for (int row = 0; row < 16; ++row) {
    for (int col = 0; col < 8; ++col) {
      int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += int32_t{kA(row, k)} * int32_t{kB(k, col)};
      EXPECT_EQ(c[static_cast<size_t>(row * 8 + col)], sum);
    }
  }
}

TEST(BlockModel, MmaMultipliesTheFragmentsThatPtxDraws) {
  ExpectProductsOfBytes<int8_t>(MmaS8);
  ExpectProductsOfBytes<uint8_t>(MmaU8S8);
}

// Two values a word; small integers, whose sums are exact in any order.
template <class Value, class Mma>
void ExpectProductsOfFragments(Value (*of)(float), Mma mma) {
  const auto kernel = [](float* y, Value (*value_of)(float), Mma multiply) {
    const int group = Lane() / 4, quad = Lane() % 4;
    const auto value = [&](int x) { return uint32_t{value_of(static_cast<float>(x)).bits}; };
    uint32_t a[4] = {}, b[2] = {};
    for (int i = 0; i < 8; ++i) {  // the i-th element of the A fragment
      const int row = i % 4 < 2 ? group : group + 8;
      const int k = 2 * quad + i % 2 + (i < 4 ? 0 : 8);
      a[i / 2] |= value((row * 7 + k * 3) % 23 - 11) << (16 * (i % 2));
    }
    for (int i = 0; i < 4; ++i) {
      const int k = 2 * quad + i % 2 + (i < 2 ? 0 : 8);
      b[i / 2] |= value((k * 5 + group * 11) % 19 - 9) << (16 * (i % 2));
    }
    float c[4] = {1, 2, 3, 4};
    multiply(c, a, b);
    for (int i = 0; i < 4; ++i) {
      Store(&y[(group + 8 * (i / 2)) * 8 + 2 * quad + i % 2], c[i] - static_cast<float>(i + 1));
    }
  };
  const DeviceArray<float> y(16 * 8);
  Launch(nullptr, Shape(1, 32), static_cast<void (*)(float*, Value (*)(float), Mma)>(kernel),
         y.data(), of, mma);
  const std::vector<float> c = y.Download();
  for (int row = 0; row < 16; ++row) {
    for (int col = 0; col < 8; ++col) {
      int32_t sum = 0;
      for (int k = 0; k < 16; ++k) {
        sum += ((row * 7 + k * 3) % 23 - 11) * ((k * 5 + col * 11) % 19 - 9);
      }
      EXPECT_EQ(c[static_cast<size_t>(row * 8 + col)], static_cast<float>(sum));
    }
  }
}

TEST(BlockModel, MmaOfFloatsMultipliesTheFragmentsThatPtxDraws) {
  ExpectProductsOfFragments<Half>([](float x) { return ToHalf(x); }, &MmaHalf);
  ExpectProductsOfFragments<BFloat16>([](float x) { return ToBFloat16(x); }, &MmaBf16);
}

TEST(BlockModel, Dp4aAddsFourProducts) {
  const auto kernel = [](int32_t* y) {
    Store(&y[ThreadIndex()], Dp4a(0x80ff7f01u, 0x807f7f02u, 5));
  };
  const DeviceArray<int32_t> y(32);
  Launch(nullptr, Shape(1, 32), static_cast<void (*)(int32_t*)>(kernel), y.data());
  EXPECT_EQ(y.Download()[0], 5 + 2 + 127 * 127 - 127 + 128 * 128);
}

}  // namespace
}  // namespace w8a8
