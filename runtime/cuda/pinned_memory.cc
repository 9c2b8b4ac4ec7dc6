#include "runtime/cuda/pinned_memory.h"

#include <algorithm>
#include <utility>

namespace w8a8 {

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {}

std::byte* PinnedMemory::Reserve(size_t bytes) {
  if (bytes > capacity_) {
    PinnedRelease(std::exchange(memory_, nullptr));
    capacity_ = 0;
    memory_ = PinnedAllocate(bytes);
    capacity_ = bytes;
  }
  return memory_;
}

void Staging::Copy(Queue queue, std::byte* to, std::span<const std::byte> from) {
  Buffer& buffer = buffers_[next_];
  next_ = (next_ + 1) % buffers_.size();
  buffer.copied.Wait();
  std::byte* const bytes = buffer.memory.Reserve(from.size());
  std::ranges::copy(from, bytes);
  CopyPinnedToDevice(queue, to, bytes, from.size());
  buffer.copied.Set(queue);
}

}  // namespace w8a8
