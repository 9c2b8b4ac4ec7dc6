// A growing, 64-byte-aligned, uninitialised-on-growth buffer for trivially copyable elements.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include <sys/mman.h>

namespace w8a8 {

// Never shrinks; Reserve() keeps nothing of the old contents. 64 bytes past the last element may be
// read (not written) by kernels, so that whole-register loads need no tail case.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t count) { Reserve(count); }

  // Makes room for `count` elements and returns the buffer. Newly allocated bytes are zero. Throws
  // std::bad_alloc, with the buffer then empty.
  T* Reserve(int64_t count) {
    if (count <= capacity_) return data_.get();
    constexpr int64_t kMostElements = (INT64_MAX - 128) / static_cast<int64_t>(sizeof(T));
    if (count > kMostElements) throw std::bad_alloc();
    // The old block goes first: both at once could be twice the memory.
    data_.reset();
    capacity_ = 0;
    const size_t least = static_cast<size_t>(count) * sizeof(T) + 64;
    // A layer's weights in pages of 4 KiB cost more time in page faults than in being copied.
    const bool huge = least >= kHugeFrom;
    const size_t alignment = huge ? kHugePage : 64;
    const size_t bytes = (least + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    if (huge) (void)::madvise(memory, bytes, MADV_HUGEPAGE);  // a refusal costs time, nothing else
    std::fill_n(static_cast<unsigned char*>(memory), bytes, static_cast<unsigned char>(0));
    data_.reset(static_cast<T*>(memory));
    capacity_ = count;
    return data_.get();
  }

  T* data() const { return data_.get(); }
  int64_t capacity() const { return capacity_; }
  T& operator[](int64_t i) const { return data_.get()[i]; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kHugeFrom = size_t{16} << 20;

  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace w8a8
