#include "tests/cuda/model_queues.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8::model {
namespace {

struct Pending {
  std::mutex mutex;
  std::deque<Work> work;
  int64_t told = 0, done = 0;
  std::exception_ptr error;
};

struct Queues {
  std::mutex mutex;
  std::map<Queue, std::shared_ptr<Pending>> all;
  uintptr_t made = 0;
};

Queues& TheQueues() {
  static Queues queues;
  return queues;
}

struct Capturing {
  Queue queue = nullptr;
  std::vector<Work> work;
  std::string forbidden;
};
thread_local Capturing* capturing = nullptr;

std::shared_ptr<Pending> Find(Queue queue) {
  const std::lock_guard lock(TheQueues().mutex);
  const auto found = TheQueues().all.find(queue);
  W8A8_CHECK(found != TheQueues().all.end());
  return found->second;
}

// The first `count` pieces; all by default.
void Do(Pending& queue, int64_t count = std::numeric_limits<int64_t>::max()) {
  const std::lock_guard lock(queue.mutex);
  while (queue.done < std::min(count, queue.told)) {
    const Work work = std::move(queue.work.front());
    queue.work.pop_front();
    ++queue.done;
    try {
      if (queue.error == nullptr) work();
    } catch (...) {
      queue.error = std::current_exception();
    }
  }
}

}  // namespace

// Each an address of its own, of nothing.
Queue MakeQueue() {
  const std::lock_guard lock(TheQueues().mutex);
  const auto queue = reinterpret_cast<Queue>(16 * ++TheQueues().made);
  TheQueues().all.emplace(queue, std::make_shared<Pending>());
  return queue;
}

void DropQueue(Queue queue) {
  const std::shared_ptr<Pending> pending = Find(queue);
  Do(*pending);
  const std::lock_guard lock(TheQueues().mutex);
  TheQueues().all.erase(queue);
}

int64_t Enqueue(Queue queue, Work work) {
  if (capturing != nullptr) {
    if (queue != capturing->queue) Fail("another queue is used while one is captured");
    capturing->work.push_back(std::move(work));
    return 0;
  }
  if (queue == nullptr) {
    work();
    return 0;
  }
  const std::shared_ptr<Pending> pending = Find(queue);
  const std::lock_guard lock(pending->mutex);
  pending->work.push_back(std::move(work));
  return ++pending->told;
}

void FinishFirst(Queue queue, int64_t count) {
  ForbidInCapture("waits for the device");
  if (queue == nullptr) return;
  const std::shared_ptr<Pending> pending = Find(queue);
  Do(*pending, count);
  const std::lock_guard lock(pending->mutex);
  if (pending->error != nullptr) std::rethrow_exception(std::exchange(pending->error, nullptr));
}

void FinishFirstQuietly(Queue queue, int64_t count) noexcept {
  if (queue != nullptr) Do(*Find(queue), count);
}

void Finish(Queue queue) { FinishFirst(queue, std::numeric_limits<int64_t>::max()); }

void FinishAll() {
  std::vector<std::shared_ptr<Pending>> all;
  {
    const std::lock_guard lock(TheQueues().mutex);
    for (const auto& [queue, pending] : TheQueues().all) all.push_back(pending);
  }
  for (const std::shared_ptr<Pending>& pending : all) Do(*pending);
}

std::vector<Work> Capture(Queue queue, const Work& work) {
  ForbidInCapture("captures");
  Capturing captured{.queue = queue, .work = {}, .forbidden = {}};
  capturing = &captured;
  try {
    work();
  } catch (...) {
    capturing = nullptr;
    throw;
  }
  capturing = nullptr;
  if (!captured.forbidden.empty()) Fail("{} while a queue is captured", captured.forbidden);
  return std::move(captured.work);
}

void ForbidInCapture(const char* what) {
  if (capturing != nullptr) Fail("the host {} while a queue is captured", what);
}

void ForbidInCaptureLater(const char* what) noexcept {
  if (capturing != nullptr) capturing->forbidden = what;
}

}  // namespace w8a8::model
