#include "runtime/cpu/packed_floats.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "runtime/base/error.h"

namespace w8a8 {

PackedFloats::PackedFloats(MatView<const float> weight, const FloatProduct& product)
    : product_(&product), n_(weight.rows), k_(weight.cols) {
  W8A8_CHECK(weight.stride == weight.cols);
  weight_.Reserve(product.packed_bytes(n_, k_));
  product.pack(weight.data, n_, k_, weight_.data());
}

template <class T>
void PackedFloats::MultiplyBlocks(MatView<const T> x, const float* bias, const OutputView& y,
                                  OperandScratch* scratch) const {
  W8A8_CHECK(x.cols == k_ && y.cols == n_ && y.rows == x.rows);
  W8A8_CHECK(y.type == OutputType::kHalf || y.type == OutputType::kFloat);
  const int64_t element = y.type == OutputType::kHalf ? sizeof(Half) : sizeof(float);
  const int64_t row_bytes = product_->operand_bytes(k_);
  const int64_t block = std::min(product_->rows_at_once, x.rows);
  std::byte* operand = scratch->Reserve(block * row_bytes + product_->scratch_bytes(block, n_, k_));
  for (int64_t first = 0; first < x.rows; first += block) {
    const int64_t count = std::min(block, x.rows - first);
    for (int64_t r = 0; r < count; ++r) {
      if constexpr (std::is_same_v<T, Half>) {
        product_->load_halves(x.row(first + r), k_, operand + r * row_bytes);
      } else {
        product_->load_floats(x.row(first + r), k_, operand + r * row_bytes);
      }
    }
    product_->multiply({.m = count,
                        .n = n_,
                        .k = k_,
                        .x = operand,
                        .x_stride_bytes = row_bytes,
                        .packed_weight = weight_.data(),
                        .bias = bias,
                        .type = y.type,
                        .y = static_cast<std::byte*>(y.data) + first * y.stride * element,
                        .y_stride = y.stride,
                        .scratch = operand + block * row_bytes});
  }
}

void PackedFloats::Multiply(MatView<const Half> x, const float* bias, OutputView y,
                            OperandScratch* scratch) const {
  MultiplyBlocks(x, bias, y, scratch);
}

void PackedFloats::Multiply(MatView<const float> x, const float* bias, OutputView y,
                            OperandScratch* scratch) const {
  MultiplyBlocks(x, bias, y, scratch);
}

}  // namespace w8a8
