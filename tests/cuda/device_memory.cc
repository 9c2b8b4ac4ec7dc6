#include "tests/cuda/device_memory.h"

#include "runtime/cuda/device.h"

namespace w8a8::test {

std::byte* DeviceAllocate(size_t bytes) {
  std::byte* const memory = w8a8::DeviceAllocate(bytes);
  PoisonOnDevice(memory, bytes);
  return memory;
}
void DeviceRelease(std::byte* memory) { w8a8::DeviceRelease(memory); }
void DeviceWrite(std::byte* to, const void* from, size_t bytes) {
  CopyToDevice(nullptr, to, from, bytes);
}
void DeviceRead(const std::byte* from, void* to, size_t bytes) {
  CopyToHost(nullptr, to, from, bytes);
}

}  // namespace w8a8::test
