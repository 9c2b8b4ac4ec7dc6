// What the backend wants of a device beside its kernels: memory, copies, queues and a clock. In
// tests a model of the device stands in its place (tests/cuda/model_device.cc). Every failure is an
// Error with the device's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/cuda/queue.h"

namespace w8a8 {

// The device that the calling thread's calls go to from now on.
void UseDevice(int index);

std::byte* DeviceAllocate(size_t bytes);
void DeviceRelease(std::byte* memory) noexcept;
// Memory of the host that a device copies from and to by itself, while the host goes on.
std::byte* PinnedAllocate(size_t bytes);
void PinnedRelease(std::byte* memory) noexcept;
// How often memory was made and let go of by the four, on any thread.
struct DeviceMemoryCounts {
  uint64_t made = 0;
  uint64_t released = 0;  // as long as it stays, nothing has come to lie elsewhere
  friend bool operator==(const DeviceMemoryCounts&, const DeviceMemoryCounts&) = default;
};
DeviceMemoryCounts CountDeviceMemory();

// Each in the order of the queue. Copies from and to the host are done when the call returns.
void CopyToDevice(Queue queue, std::byte* to, const void* from, size_t bytes);
void CopyToHost(Queue queue, void* to, const std::byte* from, size_t bytes);
void ClearOnDevice(Queue queue, std::byte* to, size_t bytes);
// The same of pinned memory, but not done when the call returns: `from` is left alone until a Mark
// behind the copy has passed.
void CopyPinnedToDevice(Queue queue, std::byte* to, const std::byte* from, size_t bytes);

// A point in a queue.
class Mark {
 public:
  Mark();
  ~Mark();  // waits
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void Set(Queue queue);
  void Wait() const;  // until the queue passed the point that was set last

 private:
  struct Event;
  std::unique_ptr<Event> event_;
};

// A queue of its own: what different ones hold may run at once.
class OwnQueue {
 public:
  OwnQueue();
  ~OwnQueue();
  OwnQueue(const OwnQueue&) = delete;
  OwnQueue& operator=(const OwnQueue&) = delete;
  Queue get() const { return queue_; }

 private:
  Queue queue_;
};

// What was queued once, to be done again by one call: kernels with their arguments, copies within
// the device, clears. It names memory by its address.
class DeviceGraph {
 public:
  // Of what `work` tells the queue on this thread, none of which is done. Within it nothing of this
  // thread may wait for the device, make or let go of its memory, or use another queue.
  DeviceGraph(Queue queue, const std::function<void()>& work);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;
  void Launch(Queue queue) const;

 private:
  struct Captured;
  std::unique_ptr<Captured> captured_;
};

// What the device took between two points of a queue, by its own clock.
class Stopwatch {
 public:
  Stopwatch();
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  void Start(Queue queue);
  void Stop(Queue queue);
  double Seconds() const;  // waits until both points were passed

 private:
  struct Events;
  std::unique_ptr<Events> events_;
};

}  // namespace w8a8
