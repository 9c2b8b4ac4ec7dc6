#include "runtime/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr std::chrono::microseconds kSpin{200};

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int worker = 1; worker < threads; ++worker) {
    helpers_.emplace_back([this, worker] { Serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  started_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::For(int64_t count, const Body& body) {
  std::unique_lock lock(mutex_);
  W8A8_CHECK(loop_.body == nullptr);
  loop_.body = &body;
  loop_.count = count;
  ++loops_;
  helping_ = static_cast<int>(helpers_.size());
  started_.notify_all();
  TakeIndices(0, lock);
  finished_.wait(lock, [&] { return helping_ == 0; });
  const std::exception_ptr error = std::exchange(loop_, {}).first_error;
  if (error) std::rethrow_exception(error);
}

void ThreadPool::Serve(int worker) {
  std::unique_lock lock(mutex_);
  for (int64_t seen = 0;; ++seen) {
    started_.wait(lock, [&] { return ending_ || loops_ > seen; });
    if (ending_) return;
    TakeIndices(worker, lock);
    if (--helping_ == 0) finished_.notify_one();
  }
}

void ThreadPool::RunNext(Loop& loop, int worker, std::unique_lock<std::mutex>& lock) {
  const int64_t index = loop.next++;
  const Body& body = *loop.body;
  ++loop.running;
  std::exception_ptr error;
  lock.unlock();
  try {
    body(index, worker);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  --loop.running;
  if (!error) return;
  loop.next = loop.count;
  if (!loop.first_error || index < loop.first_error_index) {
    loop.first_error = std::move(error);
    loop.first_error_index = index;
  }
}

ThreadPool::Loop* ThreadPool::Shared() {
  const auto found =
      std::find_if(shared_.begin(), shared_.end(), [](const Loop* l) { return l->has_more(); });
  return found == shared_.end() ? nullptr : *found;
}

void ThreadPool::Signal() {
  ++signals_;
  changed_.notify_all();
}

// Steps of an encoder follow each other within microseconds. Whoever sleeps meanwhile is woken too
// late, and on the CPU of the one who works: on two CPUs that made half of the gain.
template <class Done>
void ThreadPool::WaitFor(const Done& done, std::unique_lock<std::mutex>& lock) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + kSpin;
  while (!done() && Clock::now() < end) {
    const uint64_t seen = signals_;
    lock.unlock();
    while (signals_ == seen && Clock::now() < end) std::this_thread::yield();
    lock.lock();
  }
  changed_.wait(lock, done);
}

void ThreadPool::TakeIndices(int worker, std::unique_lock<std::mutex>& lock) {
  while (true) {
    if (loop_.has_more()) {
      RunNext(loop_, worker, lock);
    } else if (Loop* const shared = Shared()) {
      RunNext(*shared, worker, lock);
      if (shared->running == 0) Signal();
    } else if (loop_.running > 0) {
      ++idle_;
      WaitFor([&] { return loop_.running == 0 || Shared() != nullptr; }, lock);
      --idle_;
    } else {
      Signal();
      return;
    }
  }
}

// The loop stays in the list until its last body has ended: whoever helps holds on to it.
void ThreadPool::ShareWithIdle(int worker, int64_t count, const Body& body) {
  Loop loop{.body = &body, .count = count};
  std::unique_lock lock(mutex_);
  shared_.push_back(&loop);
  Signal();
  while (loop.has_more()) RunNext(loop, worker, lock);
  WaitFor([&] { return loop.running == 0; }, lock);
  std::erase(shared_, &loop);
  if (loop.first_error) std::rethrow_exception(loop.first_error);
}

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // The call fails where the machine has more CPUs than cpu_set_t has bits (1,024).
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  const int cpus = known ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, cpus);
}

}  // namespace w8a8
