#include "runtime/cuda/block.h"
#include "tests/cuda/device_memory.h"

namespace w8a8::test {

std::string DeviceMissing() { return ""; }
std::byte* DeviceAllocate(size_t bytes) { return model::Allocate(bytes); }
void DeviceRelease(std::byte* memory) { model::Release(memory); }
void DeviceWrite(std::byte* to, const void* from, size_t bytes) { model::Write(to, from, bytes); }
void DeviceRead(const std::byte* from, void* to, size_t bytes) { model::Read(from, to, bytes); }

}  // namespace w8a8::test
