// A non-owning row-major matrix. Rank is always 2: rows = images * tokens.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

namespace w8a8 {

template <class T>
struct MatView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  T* row(int64_t r) const { return data + r * stride; }
  std::span<T> row_span(int64_t r) const { return {row(r), static_cast<size_t>(cols)}; }
  MatView RowRange(int64_t begin, int64_t count) const { return {row(begin), count, cols, stride}; }
  MatView ColRange(int64_t begin, int64_t count) const {
    return {data + begin, rows, count, stride};
  }
  operator MatView<const T>() const  // NOLINT(google-explicit-constructor): T* to const T*
      requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }
};

}  // namespace w8a8
