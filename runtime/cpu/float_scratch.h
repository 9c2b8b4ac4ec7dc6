// Binary32 matrices in a worker's growing buffers, and the ways in and out of FP16, for the float
// steps.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/steps.h"

namespace w8a8 {

inline const float* DataOrNull(const FloatsPtr& values) {
  return values == nullptr || values->empty() ? nullptr : values->data();
}

// [rows, cols] without gaps in `buffer`, to be written; replaces what the buffer held.
inline MatView<float> Room(int64_t rows, int64_t cols, AlignedBuffer<float>* buffer) {
  return {buffer->Reserve(rows * cols), rows, cols, cols};
}

// The FP16 matrix, exactly, in binary32.
inline MatView<float> Widen(const HalfConversions& half, MatView<const Half> from,
                            AlignedBuffer<float>* to) {
  const MatView<float> values = Room(from.rows, from.cols, to);
  for (int64_t row = 0; row < from.rows; ++row) {
    half.to_float(from.row(row), values.row(row), from.cols);
  }
  return values;
}

// One row; `from` and `to` have equal sizes.
inline void Narrow(const HalfConversions& half, std::span<const float> from, std::span<Half> to) {
  half.to_half(from.data(), to.data(), static_cast<int64_t>(from.size()));
}

}  // namespace w8a8
