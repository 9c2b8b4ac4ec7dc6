// Device memory that grows and never shrinks, so that nothing is allocated once the largest shape
// was seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/cuda/device.h"

namespace w8a8 {

template <class T>
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Queue queue, std::span<const T> values) {
    Reserve(static_cast<int64_t>(values.size()));
    CopyToDevice(queue, bytes(), values.data(), values.size_bytes());
  }
  ~DeviceMemory() { Release(); }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Room for `count` elements; what was there is lost where it grows.
  T* Reserve(int64_t count) {
    if (count > capacity_) {
      Release();
      memory_ = DeviceAllocate(static_cast<size_t>(count) * sizeof(T));
      capacity_ = count;
    }
    return data();
  }
  T* data() const { return reinterpret_cast<T*>(memory_); }
  std::byte* bytes() const { return memory_; }
  int64_t capacity() const { return capacity_; }

  std::vector<T> ToHost(Queue queue, int64_t count) const {
    std::vector<T> values(static_cast<size_t>(count));
    CopyToHost(queue, values.data(), memory_, values.size() * sizeof(T));
    return values;
  }

 private:
  void Release() {
    DeviceRelease(memory_);
    memory_ = nullptr;
    capacity_ = 0;
  }
  std::byte* memory_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace w8a8
