// The one parallel loop of the project, and the threads that it keeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace w8a8 {

// Threads that wait between loops, so that a run starts them once and not for every stage of every
// chunk. Never more than asked for: the caller of For() is one of them.
class ThreadPool {
 public:
  using Body = std::function<void(int64_t index, int worker)>;

  // At least one thread, the caller's, whatever `threads` says.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // Calls body(index, worker) once for every index in [0, count); worker is in [0, threads), and no
  // two calls with one worker overlap. Indices are handed out dynamically in ascending order, so
  // results must not depend on which worker runs an index. The calling thread is worker 0. If
  // bodies throw, the exception of the lowest index that threw is rethrown here after all workers
  // have stopped; indices not yet handed out are skipped. One loop at a time: neither another
  // thread nor a body may call For() meanwhile.
  void For(int64_t count, const Body& body);

  // A loop within a body of For(), which `worker` runs: like For(), with the help of those workers
  // that find no index of the outer loop any more. Without any it is a plain loop.
  template <class Inner>
  void Share(int worker, int64_t count, const Inner& body) {
    if (idle() > 0 && count > 1) {
      return ShareWithIdle(worker, count, [&body](int64_t i, int w) { body(i, w); });
    }
    for (int64_t index = 0; index < count; ++index) body(index, worker);
  }
  // Workers that wait for something to share; of another moment as soon as it is read.
  int idle() const { return idle_.load(std::memory_order_relaxed); }

 private:
  // What the workers of one loop share; guarded by mutex_.
  struct Loop {
    const Body* body = nullptr;
    int64_t count = 0;
    int64_t next = 0;     // the first index that nobody has taken
    int64_t running = 0;  // bodies
    std::exception_ptr first_error = {};
    int64_t first_error_index = 0;
    bool has_more() const { return next < count; }
  };

  void Serve(int worker);
  void ShareWithIdle(int worker, int64_t count, const Body& body);
  // Until nothing is left of the outer loop and of the loops within its bodies.
  void TakeIndices(int worker, std::unique_lock<std::mutex>& lock);
  static void RunNext(Loop& loop, int worker, std::unique_lock<std::mutex>& lock);
  // Something changed that an idle worker or the owner of a shared loop waits for.
  void Signal();
  template <class Done>
  void WaitFor(const Done& done, std::unique_lock<std::mutex>& lock);
  Loop* Shared();  // one with an index left; nullptr: none

  std::mutex mutex_;
  std::condition_variable started_;   // for helpers: a loop has begun, or the pool ends
  std::condition_variable finished_;  // for callers: a helper has left the loop
  std::condition_variable changed_;   // of shared loops: what WaitFor() waits for
  std::atomic<uint64_t> signals_ = 0;
  Loop loop_;
  std::vector<Loop*> shared_;  // begun within bodies, and not at their end
  std::atomic<int> idle_ = 0;  // changed under mutex_
  int64_t loops_ = 0;          // begun so far: how a helper knows that this one is new
  int helping_ = 0;            // helpers that have not left the loop
  bool ending_ = false;
  std::vector<std::thread> helpers_;
};

// The number of CPUs this process may run on (its affinity mask), at least 1.
int AvailableCpus();

}  // namespace w8a8
