// Rows of a matrix on the device, strided and at any alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/mat_view.h"
#include "tests/cuda/device_memory.h"

namespace w8a8::test {

// Elements before the first row (16-byte aligned where 0) and between two rows.
struct Placing {
  int64_t offset = 0;
  int64_t gap = 0;
};

template <class T>
class DeviceRows {
 public:
  DeviceRows(int64_t rows, int64_t cols, Placing placing = {})
      : rows_(rows),
        cols_(cols),
        offset_(placing.offset),
        stride_(cols + placing.gap),
        memory_(static_cast<size_t>(offset_ + (rows - 1) * stride_ + cols)) {}
  DeviceRows(const std::vector<T>& values, int64_t cols, Placing placing = {})
      : DeviceRows(static_cast<int64_t>(values.size()) / cols, cols, placing) {
    for (int64_t r = 0; r < rows_; ++r) {
      DeviceWrite(BytesOf(r), values.data() + r * cols_, static_cast<size_t>(cols_) * sizeof(T));
    }
  }

  MatView<T> view() const { return {memory_.data() + offset_, rows_, cols_, stride_}; }
  // Without what lies between them.
  std::vector<T> Download() const {
    std::vector<T> values(static_cast<size_t>(rows_ * cols_));
    for (int64_t r = 0; r < rows_; ++r) {
      DeviceRead(BytesOf(r), values.data() + r * cols_, static_cast<size_t>(cols_) * sizeof(T));
    }
    return values;
  }

 private:
  std::byte* BytesOf(int64_t row) const {
    return reinterpret_cast<std::byte*>(memory_.data() + offset_ + row * stride_);
  }
  int64_t rows_, cols_, offset_, stride_;
  DeviceArray<T> memory_;
};

}  // namespace w8a8::test
