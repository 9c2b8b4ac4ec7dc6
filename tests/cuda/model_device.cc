// runtime/cuda/device.h on the model of a block: memory that is checked byte by byte, and queues
// that do what they are told as late as they may.
#include "tests/cuda/model_device.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cuda/block.h"
#include "runtime/cuda/device.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/model_queues.h"

namespace w8a8 {
namespace {

std::atomic<uint64_t> made{0}, released{0};
std::atomic<bool> hides_releases{false};

void CountRelease() {
  if (!hides_releases) ++released;
}

struct Pinned {
  std::unique_ptr<std::byte[]> memory;
  size_t bytes = 0;
};
std::mutex pinned_mutex;
std::map<const std::byte*, Pinned> pinned;

bool IsPinned(const std::byte* from, size_t bytes) {
  const std::lock_guard lock(pinned_mutex);
  auto piece = pinned.upper_bound(from);
  if (piece == pinned.begin()) return false;
  --piece;
  return static_cast<size_t>(from - piece->first) + bytes <= piece->second.bytes;
}

}  // namespace

namespace model {

void HideReleases(bool hidden) { hides_releases = hidden; }

}  // namespace model

void UseDevice(int) {}

std::byte* DeviceAllocate(size_t bytes) {
  model::ForbidInCapture("allocates memory of the device");
  ++made;
  return model::Allocate(bytes);
}
void DeviceRelease(std::byte* memory) noexcept {
  if (memory == nullptr) return;
  model::ForbidInCaptureLater("memory of the device is let go of");
  model::FinishAll();
  model::Release(memory);
  CountRelease();
}
std::byte* PinnedAllocate(size_t bytes) {
  model::ForbidInCapture("allocates pinned memory");
  ++made;
  const std::lock_guard lock(pinned_mutex);
  auto memory = std::make_unique<std::byte[]>(bytes);
  std::byte* const begin = memory.get();
  pinned[begin] = {std::move(memory), bytes};
  return begin;
}
void PinnedRelease(std::byte* memory) noexcept {
  if (memory == nullptr) return;
  model::ForbidInCaptureLater("pinned memory is let go of");
  model::FinishAll();
  CountRelease();
  const std::lock_guard lock(pinned_mutex);
  pinned.erase(memory);
}
DeviceMemoryCounts CountDeviceMemory() { return {.made = made, .released = released}; }

void CopyToDevice(Queue queue, std::byte* to, const void* from, size_t bytes) {
  model::Finish(queue);
  if (bytes > 0) model::Write(to, from, bytes);
}
void CopyToHost(Queue queue, void* to, const std::byte* from, size_t bytes) {
  model::Finish(queue);
  if (bytes > 0) model::Read(from, to, bytes);
}
void CopyPinnedToDevice(Queue queue, std::byte* to, const std::byte* from, size_t bytes) {
  if (bytes == 0) return;
  if (!IsPinned(from, bytes)) Fail("{} bytes that are copied later are not pinned", bytes);
  model::Enqueue(queue, [to, from, bytes] { model::Write(to, from, bytes); });
}
void ClearOnDevice(Queue queue, std::byte* to, size_t bytes) {
  model::Enqueue(queue, [to, bytes] {
    const std::vector<std::byte> zeros(bytes);
    model::Write(to, zeros.data(), bytes);
  });
}

struct Mark::Event {
  Queue queue = nullptr;
  int64_t told = 0;
};
Mark::Mark() : event_(std::make_unique<Event>()) {}
Mark::~Mark() { model::FinishFirstQuietly(event_->queue, event_->told); }
void Mark::Set(Queue queue) {
  *event_ = {queue, model::Enqueue(queue, [] {})};
}
void Mark::Wait() const { model::FinishFirst(event_->queue, event_->told); }

OwnQueue::OwnQueue() : queue_(model::MakeQueue()) {}
OwnQueue::~OwnQueue() { model::DropQueue(queue_); }

struct DeviceGraph::Captured {
  std::vector<model::Work> work;
};
DeviceGraph::DeviceGraph(Queue queue, const std::function<void()>& work)
    : captured_(std::make_unique<Captured>()) {
  captured_->work = model::Capture(queue, work);
}
DeviceGraph::~DeviceGraph() = default;
void DeviceGraph::Launch(Queue queue) const {
  for (const model::Work& work : captured_->work) model::Enqueue(queue, work);
}

// What was told to the queue may outlive the stopwatch.
struct Stopwatch::Events {
  struct Times {
    std::chrono::steady_clock::time_point start, stop;
  };
  std::shared_ptr<Times> times = std::make_shared<Times>();
  Queue queue = nullptr;
};
Stopwatch::Stopwatch() : events_(std::make_unique<Events>()) {}
Stopwatch::~Stopwatch() = default;
void Stopwatch::Start(Queue queue) {
  model::ForbidInCapture("starts a clock");
  events_->queue = queue;
  model::Enqueue(queue,
                 [times = events_->times] { times->start = std::chrono::steady_clock::now(); });
}
void Stopwatch::Stop(Queue queue) {
  model::Enqueue(queue,
                 [times = events_->times] { times->stop = std::chrono::steady_clock::now(); });
}
double Stopwatch::Seconds() const {
  model::Finish(events_->queue);
  const Events::Times& times = *events_->times;
  return std::chrono::duration<double>(times.stop - times.start).count();
}

namespace test {
std::string DeviceMissing() { return ""; }
void PoisonOnDevice(std::byte*, size_t) {}
}  // namespace test

}  // namespace w8a8
