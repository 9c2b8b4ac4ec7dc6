// Pinned memory that grows and never shrinks, and the way through it to a device.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "runtime/cuda/device.h"

namespace w8a8 {

class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory() { PinnedRelease(memory_); }
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) = delete;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // Room for `bytes`; what was there is lost where it grows. No copy may be on its way.
  std::byte* Reserve(size_t bytes);

 private:
  std::byte* memory_ = nullptr;
  size_t capacity_ = 0;
};

// Takes bytes of the host in turn: it fills one buffer while a device copies the other.
class Staging {
 public:
  // Returns when the bytes are taken, before they are on the device.
  void Copy(Queue queue, std::byte* to, std::span<const std::byte> from);

 private:
  struct Buffer {
    PinnedMemory memory;
    Mark copied;  // waits before the memory goes
  };
  std::array<Buffer, 2> buffers_;
  size_t next_ = 0;
};

}  // namespace w8a8
