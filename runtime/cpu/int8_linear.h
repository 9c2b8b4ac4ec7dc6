// The `int8` product: a QuantizedLinear packed for one kernel set, for codes of rows and, where the
// layer is weight-only, for FP16 rows. Immutable after construction, so workers share it;
// everything a call writes is the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/quantizer.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/code_rows.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/output_view.h"
#include "runtime/steps.h"

namespace w8a8 {

// Where a product goes, and what is wanted beside it; empty views: not wanted.
struct ProductOutput {
  OutputView y;                          // [rows, n]
  const Quantizer* quantizer = nullptr;  // set: y is FP16 and goes through its codes
  // [groups * (rows + second), n], group by group: the exact products. None of weight-only ones.
  MatView<int32_t> acc = {};
  MatView<int8_t> codes = {};     // [rows, n]: of the output
  uint64_t* saturated = nullptr;  // added to: outputs beyond the codes
};

// The scratch of one worker; grows and never shrinks.
struct ProductScratch {
  AlignedBuffer<float> values, factors;  // binary32 rows; RowFactors()
  AlignedBuffer<Half> rounded;           // one row
};

class Int8Linear final : public PackedWeights {
 public:
  // Packs once; `linear` need not outlive the call. `group`: as Backend::PackInt8.
  Int8Linear(const QuantizedLinear& linear, int64_t group, const Int8Kernels& kernels);
  // Of a layer without groups.
  Int8Linear(const QuantizedLinear& linear, const Int8Kernels& kernels)
      : Int8Linear(linear, linear.weight.k, kernels) {}

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t groups() const { return layout_.count; }
  // [n]: of all inputs.
  std::span<const int32_t> weight_code_sum() const { return row_code_sum_; }

  // Rows quantized with the same set and group.
  void Multiply(const CodeRows& x, const ProductOutput& out, ProductScratch* scratch) const;
  // True if rows of such a product may be made by MultiplyRowRange().
  bool MultipliesRowsApart(const CodeRows& x) const {
    return plain() && !x.asymmetric() && x.second == 0;
  }
  // Rows [first, first + count) of the product, y [count, n].
  void MultiplyRowRange(const CodeRows& x, int64_t first, int64_t count, MatView<Half> y) const;
  // The same with nothing else wanted than the accumulators, if those.
  void Multiply(const CodeRows& x, OutputView y, MatView<int32_t> acc = {}) const;
  // Weight-only: FP16 rows, transformed and rounded to FP16 first unless `transform` is nullptr.
  void MultiplyHalf(MatView<const Half> x, const InputTransform* transform,
                    const ProductOutput& out, ProductScratch* scratch) const;

 private:
  void PackGroups(const WeightCodes& weight);
  void MultiplyRows(const CodeRows& x, int64_t first, int64_t count, const float* bias,
                    const StoreArgs& to) const;
  void MultiplyTwice(const CodeRows& x, const StoreArgs& to, ProductScratch* scratch) const;
  GroupedWeights Weights() const;
  bool plain() const { return layout_.count == 1 && zero_point_.capacity() == 0; }

  const Int8Kernels* kernels_;
  int64_t n_, k_, padded_n_;
  GroupLayout layout_;
  int64_t scale_groups_;                // of `scale_`: 1, or groups where the weights have any
  std::vector<int32_t> row_code_sum_;   // [n]
  AlignedBuffer<std::byte> weight_;     // in the groups' layout
  AlignedBuffer<float> scale_;          // [scale groups, n padded]
  AlignedBuffer<float> bias_;           // [n padded], zeros where the layer has none
  AlignedBuffer<int32_t> code_sum_;     // [groups, n padded]
  AlignedBuffer<int32_t> centred_sum_;  // [groups, n padded]
  AlignedBuffer<int32_t> zero_point_;   // [groups, n padded]; empty: all 0
};

}  // namespace w8a8
