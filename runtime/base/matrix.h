// A matrix that owns its values, for what outlives the memory it was computed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/mat_view.h"

namespace w8a8 {

// Rows without gaps; not initialised. Moves, and does not copy.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(int64_t rows, int64_t cols)
      : values_(std::make_unique_for_overwrite<T[]>(static_cast<size_t>(rows * cols))),
        rows_(rows),
        cols_(cols) {}

  MatView<T> view() const { return {values_.get(), rows_, cols_, cols_}; }

 private:
  std::unique_ptr<T[]> values_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

}  // namespace w8a8
