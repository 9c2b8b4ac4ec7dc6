// Memory of whatever runs the kernels of a test: the model of a block, or a GPU. A test of kernels
// is written once over this and linked once with each.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace w8a8::test {

// Why there is nothing to run kernels on; empty if there is.
std::string DeviceMissing();

// Writes 0xd5 into every byte of new memory. Nothing on the model, whose memory is poisoned when it
// is new: written by this it would no longer be memory that nobody wrote.
void PoisonOnDevice(std::byte* memory, size_t bytes);

// Of the device, poisoned.
std::byte* DeviceAllocate(size_t bytes);
void DeviceRelease(std::byte* memory);
void DeviceWrite(std::byte* to, const void* from, size_t bytes);
// After all that was launched.
void DeviceRead(const std::byte* from, void* to, size_t bytes);

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count), memory_(DeviceAllocate(count * sizeof(T))) {}
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) {
    DeviceWrite(memory_.get(), values.data(), count_ * sizeof(T));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}

  T* data() const { return reinterpret_cast<T*>(memory_.get()); }
  size_t size() const { return count_; }
  std::vector<T> Download() const {
    std::vector<T> values(count_);
    DeviceRead(memory_.get(), values.data(), count_ * sizeof(T));
    return values;
  }

 private:
  struct Release {
    void operator()(std::byte* memory) const { DeviceRelease(memory); }
  };
  size_t count_;
  std::unique_ptr<std::byte, Release> memory_;
};

}  // namespace w8a8::test
