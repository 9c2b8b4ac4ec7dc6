// A float product: weights packed for one kernel set, for rows of FP16 or binary32 values.
// Immutable after construction, so workers share it. A row's result depends on no other row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/steps.h"

namespace w8a8 {

// Rows as the products take them; one worker's. Grows and never shrinks.
using OperandScratch = AlignedBuffer<std::byte>;

class PackedFloats final : public PackedWeights {
 public:
  // Packs once; `weight` [N, K] need not outlive the call, `product` does.
  PackedFloats(MatView<const float> weight, const FloatProduct& product);

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }

  // y = x weight^T + bias [n] (nullptr: none), rounded once to FP16 or left in binary32.
  void Multiply(MatView<const Half> x, const float* bias, OutputView y,
                OperandScratch* scratch) const;
  // The same of binary32 rows, which hold FP16 values where the product is one of those.
  void Multiply(MatView<const float> x, const float* bias, OutputView y,
                OperandScratch* scratch) const;

 private:
  template <class T>
  void MultiplyBlocks(MatView<const T> x, const float* bias, const OutputView& y,
                      OperandScratch* scratch) const;

  const FloatProduct* product_;
  int64_t n_, k_;
  AlignedBuffer<std::byte> weight_;
};

}  // namespace w8a8
