// runtime/cuda/device.h on the model of a block: memory that is checked byte by byte, and queues
// that do everything at once.
#include <chrono>
#include <vector>

#include "runtime/cuda/block.h"
#include "runtime/cuda/device.h"
#include "tests/cuda/device_memory.h"

namespace w8a8 {

void UseDevice(int) {}
std::byte* DeviceAllocate(size_t bytes) { return model::Allocate(bytes); }
void DeviceRelease(std::byte* memory) noexcept {
  if (memory != nullptr) model::Release(memory);
}
void CopyToDevice(Queue, std::byte* to, const void* from, size_t bytes) {
  if (bytes > 0) model::Write(to, from, bytes);
}
void CopyToHost(Queue, void* to, const std::byte* from, size_t bytes) {
  if (bytes > 0) model::Read(from, to, bytes);
}
void ClearOnDevice(Queue, std::byte* to, size_t bytes) {
  const std::vector<std::byte> zeros(bytes);
  model::Write(to, zeros.data(), bytes);
}

OwnQueue::OwnQueue() : queue_(nullptr) {}
OwnQueue::~OwnQueue() = default;

struct Stopwatch::Events {
  std::chrono::steady_clock::time_point start, stop;
};
Stopwatch::Stopwatch() : events_(std::make_unique<Events>()) {}
Stopwatch::~Stopwatch() = default;
void Stopwatch::Start(Queue) { events_->start = std::chrono::steady_clock::now(); }
void Stopwatch::Stop(Queue) { events_->stop = std::chrono::steady_clock::now(); }
double Stopwatch::Seconds() const {
  return std::chrono::duration<double>(events_->stop - events_->start).count();
}

namespace test {
std::string DeviceMissing() { return ""; }
void PoisonOnDevice(std::byte*, size_t) {}
}  // namespace test

}  // namespace w8a8
