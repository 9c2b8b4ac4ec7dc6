// Binary32 matrices in a worker's growing buffers, for the float steps.
#pragma once

#include <cstdint>

#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// [rows, cols] without gaps in `buffer`, to be written; replaces what the buffer held.
inline MatView<float> Room(int64_t rows, int64_t cols, AlignedBuffer<float>* buffer) {
  return {buffer->Reserve(rows * cols), rows, cols, cols};
}

// The FP16 matrix, exactly, in binary32.
inline MatView<float> Widen(MatView<const Half> from, AlignedBuffer<float>* to) {
  const MatView<float> values = Room(from.rows, from.cols, to);
  for (int64_t row = 0; row < from.rows; ++row) {
    ToFloat(from.row_span(row), values.row_span(row));
  }
  return values;
}

}  // namespace w8a8
