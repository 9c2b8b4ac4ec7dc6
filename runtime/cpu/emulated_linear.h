// The `emulated` product: the exact integer arithmetic of numerics.md section 2 done with a float
// GEMM. Scalar quantizer, unpacked codes, K in chunks of at most 1,024 (exact: 1,024 * 127 * 128 <
// 2^24), chunks added as int32, scalar dequantize. Shares no packing, shift, kernel or epilogue
// with the `int8` product, so that their equality proves something.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/reference_quantizer.h"
#include "quant/spec.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/steps.h"

namespace w8a8 {

// Lays out a binary32 [n, k] matrix for MultiplyFloat.
using PackFloatFn = std::function<PackedPtr(MatView<const float> weight)>;
// c = a * weight^T: a [m, k], c [m, n]; any summation order, fused or not.
using MultiplyFloatFn =
    std::function<void(MatView<const float> a, const PackedWeights& weight, MatView<float> c)>;

// The scratch of one worker; grows and never shrinks.
struct EmulatedScratch {
  ReferenceRows rows;          // of the last Run
  AlignedBuffer<int32_t> acc;  // [rows, n]
  AlignedBuffer<float> chunk_codes;
  AlignedBuffer<float> chunk_product;
};

class EmulatedLinear final : public PackedWeights {
 public:
  // `group`: as Backend::PackEmulated.
  EmulatedLinear(const QuantizedLinear& linear, int64_t group, const PackFloatFn& pack);
  // Of a layer without groups.
  EmulatedLinear(const QuantizedLinear& linear, const PackFloatFn& pack)
      : EmulatedLinear(linear, linear.weight.k, pack) {}

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  // [n]: summed from the codes, not taken from the layer.
  std::span<const int32_t> weight_code_sum() const { return weight_code_sum_; }

  // y [rows, n]; the scratch keeps codes, scales and accumulators of this call.
  void Run(MatView<const Half> x, const InputScheme& input, const MultiplyFloatFn& multiply,
           OutputView y, EmulatedScratch* scratch) const;

 private:
  int64_t n_, k_;
  std::vector<PackedPtr> chunks_;  // of kChunk columns of the weight
  std::vector<float> scale_, bias_;
  std::vector<int32_t> weight_code_sum_;
};

}  // namespace w8a8
