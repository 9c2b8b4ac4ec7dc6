// The `emulated` product: the exact integer arithmetic of numerics.md sections 2 and 6 done with a
// float GEMM. Scalar quantizer, unpacked codes, each group of K in chunks of at most 1,024, chunks
// added as int32, zero-point terms from sums of its own, scalar dequantize. Shares no packing,
// shift, kernel or epilogue with the `int8` product, so that their equality proves something.
//
// A chunk is exact: codes are within [-128, 127], so no partial sum of 1,024 products passes
// 1,024 * 128 * 128 = 2^24, and binary32 has every integer up to that one.
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
#include "runtime/output_view.h"
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
  AlignedBuffer<int32_t> acc;  // [rows + second rows, n] of the last group
  AlignedBuffer<float> chunk_codes;
  AlignedBuffer<float> chunk_product;
  AlignedBuffer<float> sum;  // [rows, n]: t of the groups so far
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
  int64_t groups() const { return static_cast<int64_t>(groups_.size()); }
  // [n]: summed from the codes, not taken from the layer.
  std::span<const int32_t> weight_code_sum() const { return weight_code_sum_; }

  // y [rows, n]; the scratch keeps codes and scales of this call. `acc`, the exact products with
  // the zero points taken off, is [groups * (rows + second rows), n] or empty.
  void Run(MatView<const Half> x, const InputScheme& input, const MultiplyFloatFn& multiply,
           OutputView y, EmulatedScratch* scratch, MatView<int32_t> acc = {}) const;

  // Weight-only: float products of x [rows, k], which holds FP16 values, with code - zero point,
  // dequantized with scale_x = 1. The products' order is the float GEMM's: rows of one image.
  void RunWeightOnly(MatView<const float> x, const MultiplyFloatFn& multiply, OutputView y,
                     EmulatedScratch* scratch) const;

 private:
  struct Chunk {  // of a group; columns from `first` on
    int64_t first, cols;
    PackedPtr codes;
    PackedPtr values;  // code - zero point; `codes` where the weights have none
  };
  struct Group {
    int64_t first = 0, cols = 0;
    std::vector<Chunk> chunks = {};
    std::vector<int32_t> code_sum = {};  // [n]
    // [n]; groups of the inputs may be smaller than those of the weights, and share them.
    std::vector<float> scale = {};
    std::vector<int32_t> zero_point = {};  // or empty
  };

  Group MakeGroup(const WeightCodes& weight, int64_t first, int64_t cols, const PackFloatFn& pack);
  void MultiplyGroup(const Group& group, const MultiplyFloatFn& multiply, int64_t rows,
                     EmulatedScratch* scratch) const;
  void TakeZeroPointsOff(const Group& group, EmulatedScratch* scratch) const;
  void Dequantize(const EmulatedScratch& scratch, OutputView y) const;
  void AddGroup(const Group& group, int64_t rows, EmulatedScratch* scratch) const;
  void DequantizeGroups(const RowScales& scales, const float* sum, OutputView y) const;
  float BiasOf(int64_t col) const { return bias_.empty() ? 0.0f : bias_[static_cast<size_t>(col)]; }

  int64_t n_, k_;
  bool weight_groups_;
  std::vector<Group> groups_;
  std::vector<float> bias_;
  std::vector<int32_t> weight_code_sum_;
};

}  // namespace w8a8
