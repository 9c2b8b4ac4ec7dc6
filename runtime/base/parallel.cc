#include "runtime/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

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

void ThreadPool::TakeIndices(int worker, std::unique_lock<std::mutex>& lock) {
  while (loop_.next < loop_.count) {
    const int64_t index = loop_.next++;
    const Body& body = *loop_.body;
    std::exception_ptr error;
    lock.unlock();
    try {
      body(index, worker);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (!error) continue;
    loop_.next = loop_.count;
    if (!loop_.first_error || index < loop_.first_error_index) {
      loop_.first_error = std::move(error);
      loop_.first_error_index = index;
    }
  }
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
