// A growing, 64-byte-aligned, uninitialised-on-growth buffer for trivially copyable elements.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

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
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 64 + 63) / 64 * 64;
    void* memory = std::aligned_alloc(64, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    std::fill_n(static_cast<unsigned char*>(memory), bytes, static_cast<unsigned char>(0));
    data_.reset(static_cast<T*>(memory));
    capacity_ = count;
    return data_.get();
  }

  T* data() const { return data_.get(); }
  int64_t capacity() const { return capacity_; }
  T& operator[](int64_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace w8a8
