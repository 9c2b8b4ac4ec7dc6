#include "runtime/base/parallel.h"

#include <atomic>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace w8a8 {
namespace {

TEST(ThreadPool, CallsTheBodyOnceForEveryIndex) {
  for (const int threads : {-1, 0, 1, 2, 3, 16}) {
    for (const int64_t count : {0, 1, 2, 15, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      ThreadPool(threads).For(
          count, [&](int64_t index, int) { calls.at(static_cast<size_t>(index)).fetch_add(1); });
      for (const auto& c : calls) ASSERT_EQ(c.load(), 1) << threads << " threads, " << count;
    }
  }
}

TEST(ThreadPool, NoTwoCallsOfOneWorkerOverlap) {
  constexpr int kThreads = 8;
  std::vector<std::atomic<bool>> busy(kThreads);
  std::atomic<int> overlaps{0};
  ThreadPool(kThreads).For(20'000, [&](int64_t, int worker) {
    auto& mine = busy.at(static_cast<size_t>(worker));
    if (mine.exchange(true)) ++overlaps;
    mine = false;
  });
  EXPECT_EQ(overlaps.load(), 0);
}

TEST(ThreadPool, UsesAsManyWorkersAsAsked) {
  constexpr int kThreads = 4;
  std::latch all(kThreads);  // would hang if fewer than kThreads bodies ran side by side
  std::vector<std::atomic<int>> calls(kThreads);
  ThreadPool(kThreads).For(kThreads, [&](int64_t, int worker) {
    all.arrive_and_wait();
    ++calls.at(static_cast<size_t>(worker));
  });
  for (const auto& c : calls) EXPECT_EQ(c.load(), 1);
}

TEST(ThreadPool, WithOneThreadKeepsTheOrder) {
  std::vector<int64_t> order;
  ThreadPool(1).For(5, [&](int64_t index, int worker) {
    EXPECT_EQ(worker, 0);
    order.push_back(index);
  });
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

TEST(ThreadPool, RunsEveryLoopOnTheThreadsThatItStartedWith) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  std::atomic<int> threads_seen{0};
  for (int64_t loop = 0; loop < 500; ++loop) {
    const int64_t count = loop % 5;
    std::atomic<int64_t> sum{0};
    pool.For(count, [&](int64_t index, int) {
      sum += index + 1;
      thread_local bool seen = false;  // false in a thread that was started for this loop
      if (!std::exchange(seen, true)) ++threads_seen;
    });
    ASSERT_EQ(sum.load(), count * (count + 1) / 2) << "loop " << loop;
  }
  EXPECT_LE(threads_seen.load(), kThreads);
}

TEST(ThreadPool, RethrowsTheExceptionOfTheLowestIndexThatThrew) {
  ThreadPool pool(4);
  for (int repetition = 0; repetition < 50; ++repetition) {
    std::latch all(4);
    const auto throw_all = [&](int64_t index, int) {
      all.arrive_and_wait();
      throw std::runtime_error(std::to_string(index));
    };
    try {
      pool.For(4, throw_all);
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      ASSERT_STREQ(error.what(), "0");
    }
  }
}

TEST(ThreadPool, HandsOutNoIndexAfterAnException) {
  std::vector<int64_t> seen;
  const auto throw_at_three = [&](int64_t index, int) {
    seen.push_back(index);
    if (index == 3) throw std::logic_error("three");
  };
  EXPECT_THROW(ThreadPool(1).For(100, throw_at_three), std::logic_error);
  EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3}));
}

void WaitForIdle(const ThreadPool& pool, int count) {
  while (pool.idle() < count) std::this_thread::yield();
}

TEST(ThreadPool, SharesALoopWithinABodyAmongTheWorkersThatAreIdle) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  for (int repetition = 0; repetition < 50; ++repetition) {
    std::vector<std::atomic<int>> calls(kThreads);
    pool.For(1, [&](int64_t, int worker) {
      WaitForIdle(pool, kThreads - 1);
      std::latch all(kThreads);  // would hang if fewer than kThreads bodies ran side by side
      pool.Share(worker, kThreads, [&](int64_t, int helper) {
        all.arrive_and_wait();
        ++calls.at(static_cast<size_t>(helper));
      });
    });
    for (const auto& c : calls) ASSERT_EQ(c.load(), 1);
  }
}

// Loops within loops of all lengths, with and without somebody who is idle.
TEST(ThreadPool, CallsEveryIndexOfSharedLoopsOnceAndNoWorkerTwiceAtATime) {
  constexpr int kThreads = 4;
  constexpr int64_t kOuter = 7, kInner = 23;
  ThreadPool pool(kThreads);
  std::vector<std::atomic<bool>> busy(kThreads);
  for (int repetition = 0; repetition < 200; ++repetition) {
    std::vector<std::atomic<int>> calls(kOuter * kInner);
    std::atomic<int> overlaps{0};
    pool.For(kOuter, [&](int64_t outer, int worker) {
      pool.Share(worker, kInner * (outer % 3) / 2, [&](int64_t inner, int helper) {
        auto& mine = busy.at(static_cast<size_t>(helper));
        if (mine.exchange(true)) ++overlaps;
        ++calls.at(static_cast<size_t>(outer * kInner + inner));
        mine = false;
      });
    });
    EXPECT_EQ(overlaps.load(), 0);
    for (int64_t i = 0; i < kOuter * kInner; ++i) {
      const bool called = i % kInner < kInner * (i / kInner % 3) / 2;
      ASSERT_EQ(calls.at(static_cast<size_t>(i)).load(), called ? 1 : 0) << i;
    }
  }
}

TEST(ThreadPool, RethrowsTheLowestErrorOfASharedLoopInItsBody) {
  ThreadPool pool(3);
  int caught = 0;
  pool.For(1, [&](int64_t, int worker) {
    WaitForIdle(pool, 2);
    std::latch all(3);
    try {
      pool.Share(worker, 3, [&](int64_t index, int) {
        all.arrive_and_wait();
        throw std::runtime_error(std::to_string(index));
      });
    } catch (const std::runtime_error& error) {
      caught += std::string(error.what()) == "0" ? 1 : 0;
    }
  });
  EXPECT_EQ(caught, 1);
}

TEST(ThreadPool, SharesWithNobodyWhereAllHaveIndicesOfTheirOwn) {
  ThreadPool pool(1);
  std::vector<int64_t> order;
  pool.For(1, [&](int64_t, int worker) {
    pool.Share(worker, 3, [&](int64_t index, int) { order.push_back(index); });
  });
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2}));
}

TEST(AvailableCpus, IsAtLeastOne) { EXPECT_GE(AvailableCpus(), 1); }

}  // namespace
}  // namespace w8a8
