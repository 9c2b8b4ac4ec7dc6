// The `int8` product: a QuantizedLinear packed for one kernel set. Immutable after construction, so
// workers share it; everything a call writes is the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/quantized_linear.h"
#include "quant/spec.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/steps.h"

namespace w8a8 {

// A caller's FP16, BF16 or FP32 matrix to write to; implicit from the three views.
struct OutputView {
  OutputView(MatView<Half> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kHalf), rows(y.rows), cols(y.cols), stride(y.stride) {}
  OutputView(MatView<BFloat16> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kBFloat16), rows(y.rows), cols(y.cols), stride(y.stride) {}
  OutputView(MatView<float> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kFloat), rows(y.rows), cols(y.cols), stride(y.stride) {}

  void* data;
  OutputType type;
  int64_t rows, cols, stride;
};

// Quantized rows in one set's storage; the scratch of one worker. Grows and never shrinks, so
// nothing is allocated once the largest shape was seen.
struct CodeRows {
  AlignedBuffer<std::byte> codes;
  AlignedBuffer<float> scale;  // [rows]; a static scale is repeated
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
};

// Makes room for `rows` rows of `cols` codes of `kernels`, to be filled by QuantizeRowsAt().
void PrepareCodes(const Int8Kernels& kernels, int64_t rows, int64_t cols, CodeRows* codes);
// Quantizes `x` by `quantizer` (checked: CheckQuantizer) into the rows from `first_row` on. What is
// wanted beside the codes: `code_sum` [x.rows], and `counts`, which are added to and cost a pass.
void QuantizeRowsAt(const Int8Kernels& kernels, MatView<const Half> x, const Quantizer& quantizer,
                    int64_t first_row, CodeRows* rows, int32_t* code_sum = nullptr,
                    QuantizeCounts* counts = nullptr);
// Prepares `rows` and quantizes all of `x`.
void QuantizeRows(const Int8Kernels& kernels, MatView<const Half> x, const Quantizer& quantizer,
                  CodeRows* rows, int32_t* code_sum = nullptr, QuantizeCounts* counts = nullptr);
// The codes as int8 [rows, cols].
void UnpackCodes(const Int8Kernels& kernels, const CodeRows& rows, MatView<int8_t> unpacked);

class Int8Linear final : public PackedWeights {
 public:
  // Packs once; `linear` need not outlive the call. `group`: as Backend::PackInt8.
  Int8Linear(const QuantizedLinear& linear, int64_t group, const Int8Kernels& kernels);
  // Of a layer without groups.
  Int8Linear(const QuantizedLinear& linear, const Int8Kernels& kernels)
      : Int8Linear(linear, linear.weight.k, kernels) {}

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  std::span<const int32_t> weight_code_sum() const {
    return {code_sum_.data(), static_cast<size_t>(n_)};
  }

  // y [rows, n] from rows quantized with the same set; `acc` [rows, n] or an empty view.
  void Multiply(const CodeRows& x, OutputView y, MatView<int32_t> acc = {}) const;

 private:
  const Int8Kernels* kernels_;
  int64_t n_, k_;
  AlignedBuffer<std::byte> weight_;
  AlignedBuffer<float> scale_;       // [n padded]
  AlignedBuffer<float> bias_;        // [n padded], zeros where the layer has none
  AlignedBuffer<int32_t> code_sum_;  // [n padded]
};

}  // namespace w8a8
