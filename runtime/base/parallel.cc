#include "runtime/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace w8a8 {

void ParallelFor(int64_t count, int threads,
                 const std::function<void(int64_t index, int worker)>& body) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr first_error;
  int64_t first_error_index = count;
  const auto work = [&](int worker) {
    while (true) {
      const int64_t index = next.fetch_add(1);
      if (index >= count) return;
      try {
        body(index, worker);
      } catch (...) {
        next.store(count);
        const std::lock_guard lock(mutex);
        if (index < first_error_index) {
          first_error_index = index;
          first_error = std::current_exception();
        }
      }
    }
  };
  const int workers = static_cast<int>(std::clamp<int64_t>(count, 1, std::max(threads, 1)));
  {
    std::vector<std::jthread> pool;
    for (int worker = 1; worker < workers; ++worker) pool.emplace_back(work, worker);
    work(0);
  }
  if (first_error) std::rethrow_exception(first_error);
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
