#include "runtime/cpu/int8_linear.h"

#include <algorithm>

#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// An odd number of padding units (cache lines of codes) per row: rows a power of two apart would
// meet in the same sets of the first-level cache.
int64_t CodeStride(int64_t cols, int64_t multiple) {
  const int64_t units = (cols + multiple - 1) / multiple;
  return (units | 1) * multiple;
}

template <class T>
AlignedBuffer<T> PaddedCopy(const std::vector<T>& values, int64_t padded) {
  AlignedBuffer<T> copy(padded);
  std::fill(std::copy(values.begin(), values.end(), copy.data()), copy.data() + padded, T{});
  return copy;
}

// What the calling thread must do around products. At each of them, because nobody else knows on
// which threads they run; a product takes some 10 us at least.
class ThreadSetUp {
 public:
  explicit ThreadSetUp(const Int8Kernels& kernels) : kernels_(kernels) {
    if (kernels_.begin_worker != nullptr) kernels_.begin_worker();
  }
  ~ThreadSetUp() {
    if (kernels_.end_worker != nullptr) kernels_.end_worker();
  }
  ThreadSetUp(const ThreadSetUp&) = delete;
  ThreadSetUp& operator=(const ThreadSetUp&) = delete;

 private:
  const Int8Kernels& kernels_;
};

}  // namespace

void PrepareCodes(const Int8Kernels& kernels, int64_t rows, int64_t cols, CodeRows* codes) {
  codes->rows = rows;
  codes->cols = cols;
  codes->stride = CodeStride(cols, kernels.k_multiple);
  codes->codes.Reserve(rows * codes->stride * kernels.code_bytes);
  codes->scale.Reserve(rows);
}

void QuantizeRowsAt(const Int8Kernels& kernels, MatView<const Half> x, const Quantizer& quantizer,
                    int64_t first_row, CodeRows* rows, int32_t* code_sum, QuantizeCounts* counts) {
  W8A8_CHECK(x.cols == rows->cols && first_row + x.rows <= rows->rows);
  kernels.quantize_rows(
      {.x = x.data,
       .x_stride = x.stride,
       .rows = x.rows,
       .cols = x.cols,
       .clip_range = quantizer.clip_range,
       .static_scale = quantizer.is_static() ? &quantizer.scale : nullptr,
       .codes = rows->codes.data() + first_row * rows->stride * kernels.code_bytes,
       .codes_stride = rows->stride,
       .scale = rows->scale.data() + first_row,
       .code_sum = code_sum,
       .counts = counts});
}

void QuantizeRows(const Int8Kernels& kernels, MatView<const Half> x, const Quantizer& quantizer,
                  CodeRows* rows, int32_t* code_sum, QuantizeCounts* counts) {
  PrepareCodes(kernels, x.rows, x.cols, rows);
  QuantizeRowsAt(kernels, x, quantizer, 0, rows, code_sum, counts);
}

void UnpackCodes(const Int8Kernels& kernels, const CodeRows& rows, MatView<int8_t> unpacked) {
  W8A8_CHECK(unpacked.rows == rows.rows && unpacked.cols == rows.cols);
  kernels.unpack_codes({.codes = rows.codes.data(),
                        .codes_stride = rows.stride,
                        .rows = rows.rows,
                        .cols = rows.cols,
                        .unpacked = unpacked.data,
                        .unpacked_stride = unpacked.stride});
}

Int8Linear::Int8Linear(const QuantizedLinear& linear, int64_t group, const Int8Kernels& kernels)
    : kernels_(&kernels), n_(linear.weight.n), k_(linear.weight.k) {
  W8A8_CHECK(static_cast<int64_t>(linear.weight.code_sum.size()) == n_);  // Finish() was called
  W8A8_CHECK(group == k_ && linear.weight.zero_points.empty());
  const int64_t padded = RoundUp(n_, kernels.n_multiple);
  std::vector<float> scale;
  for (int64_t n = 0; n < n_; ++n) scale.push_back(linear.weight.ScaleOf(n, 0));
  scale_ = PaddedCopy(scale, padded);
  bias_ = PaddedCopy(linear.bias, padded);
  code_sum_ = PaddedCopy(linear.weight.code_sum, padded);
  weight_.Reserve(kernels.packed_bytes(n_, k_));
  kernels.pack_weights(
      {.codes = linear.weight.codes.data(), .n = n_, .k = k_, .packed = weight_.data()});
}

void Int8Linear::Multiply(const CodeRows& x, OutputView y, MatView<int32_t> acc) const {
  W8A8_CHECK(x.cols == k_ && y.rows == x.rows && y.cols == n_);
  W8A8_CHECK(acc.data == nullptr || (acc.rows == x.rows && acc.cols == n_));
  const ThreadSetUp set_up(*kernels_);
  kernels_->gemm_s8({.m = x.rows,
                     .n = n_,
                     .k = k_,
                     .x_codes = x.codes.data(),
                     .x_stride = x.stride,
                     .packed_weight = weight_.data(),
                     .scale_x = x.scale.data(),
                     .scale_w = scale_.data(),
                     .bias = bias_.data(),
                     .code_sum_w = code_sum_.data(),
                     .output_type = y.type,
                     .y = y.data,
                     .y_stride = y.stride,
                     .acc = acc.data,
                     .acc_stride = acc.stride});
}

}  // namespace w8a8
