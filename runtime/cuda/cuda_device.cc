// runtime/cuda/device.h by the CUDA runtime.
#include <cuda_runtime_api.h>

#include <array>
#include <atomic>

#include "runtime/cuda/cuda_error.h"
#include "runtime/cuda/device.h"

namespace w8a8 {
namespace {

std::atomic<uint64_t> made{0}, released{0};

}  // namespace

void UseDevice(int index) { CheckCuda(cudaSetDevice(index), "choosing the device"); }

std::byte* DeviceAllocate(size_t bytes) {
  void* memory = nullptr;
  if (bytes == 0) return nullptr;
  CheckCuda(cudaMalloc(&memory, bytes), "allocating memory of the device");
  ++made;
  return static_cast<std::byte*>(memory);
}

void DeviceRelease(std::byte* memory) noexcept {
  if (memory == nullptr) return;
  cudaFree(memory);
  ++released;
}

std::byte* PinnedAllocate(size_t bytes) {
  void* memory = nullptr;
  if (bytes == 0) return nullptr;
  CheckCuda(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "allocating pinned memory");
  ++made;
  return static_cast<std::byte*>(memory);
}

void PinnedRelease(std::byte* memory) noexcept {
  if (memory == nullptr) return;
  cudaFreeHost(memory);
  ++released;
}

DeviceMemoryCounts CountDeviceMemory() { return {.made = made, .released = released}; }

void CopyToDevice(Queue queue, std::byte* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  CheckCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, queue),
            "copying to the device");
  CheckCuda(cudaStreamSynchronize(queue), "copying to the device");
}

void CopyToHost(Queue queue, void* to, const std::byte* from, size_t bytes) {
  if (bytes == 0) return;
  CheckCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, queue),
            "copying from the device");
  CheckCuda(cudaStreamSynchronize(queue), "running kernels and copying from the device");
}

void ClearOnDevice(Queue queue, std::byte* to, size_t bytes) {
  CheckCuda(cudaMemsetAsync(to, 0, bytes, queue), "clearing memory of the device");
}

void CopyPinnedToDevice(Queue queue, std::byte* to, const std::byte* from, size_t bytes) {
  if (bytes == 0) return;
  CheckCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, queue),
            "copying to the device");
}

struct Mark::Event {
  cudaEvent_t event{};
};

Mark::Mark() : event_(std::make_unique<Event>()) {
  CheckCuda(cudaEventCreateWithFlags(&event_->event, cudaEventDisableTiming), "making an event");
}
Mark::~Mark() {
  cudaEventSynchronize(event_->event);
  cudaEventDestroy(event_->event);
}
void Mark::Set(Queue queue) {
  CheckCuda(cudaEventRecord(event_->event, queue), "recording an event");
}
void Mark::Wait() const { CheckCuda(cudaEventSynchronize(event_->event), "copying to the device"); }

OwnQueue::OwnQueue() : queue_(nullptr) {
  CheckCuda(cudaStreamCreateWithFlags(&queue_, cudaStreamNonBlocking), "making a stream");
}
OwnQueue::~OwnQueue() { cudaStreamDestroy(queue_); }

struct DeviceGraph::Captured {
  ~Captured() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
};

DeviceGraph::DeviceGraph(Queue queue, const std::function<void()>& work)
    : captured_(std::make_unique<Captured>()) {
  // Other threads go on allocating and waiting meanwhile.
  CheckCuda(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(queue, &captured_->graph);
    cudaGetLastError();  // that the capture was broken off; why is being thrown
    throw;
  }
  CheckCuda(cudaStreamEndCapture(queue, &captured_->graph), "capturing a graph");
  CheckCuda(cudaGraphInstantiate(&captured_->executable, captured_->graph, 0), "making a graph");
}
DeviceGraph::~DeviceGraph() = default;
void DeviceGraph::Launch(Queue queue) const {
  CheckCuda(cudaGraphLaunch(captured_->executable, queue), "launching a graph");
}

struct Stopwatch::Events {
  std::array<cudaEvent_t, 2> at{};
};

Stopwatch::Stopwatch() : events_(std::make_unique<Events>()) {
  for (cudaEvent_t& event : events_->at) CheckCuda(cudaEventCreate(&event), "making an event");
}
Stopwatch::~Stopwatch() {
  for (const cudaEvent_t event : events_->at) cudaEventDestroy(event);
}
void Stopwatch::Start(Queue queue) {
  CheckCuda(cudaEventRecord(events_->at[0], queue), "recording an event");
}
void Stopwatch::Stop(Queue queue) {
  CheckCuda(cudaEventRecord(events_->at[1], queue), "recording an event");
}
double Stopwatch::Seconds() const {
  CheckCuda(cudaEventSynchronize(events_->at[1]), "running kernels");
  float milliseconds = 0;
  CheckCuda(cudaEventElapsedTime(&milliseconds, events_->at[0], events_->at[1]), "reading events");
  return milliseconds * 1e-3;
}

}  // namespace w8a8
