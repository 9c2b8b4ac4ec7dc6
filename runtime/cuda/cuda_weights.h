// Weights in the layouts of the CUDA kernels. Immutable after construction, so arenas share them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/quantized_linear.h"
#include "runtime/backend.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/float_product_kernels.h"
#include "runtime/cuda/product_kernels.h"
#include "runtime/emulated_linear.h"
#include "runtime/steps.h"

namespace w8a8 {

// The weight of a float product, [n, stride]: FP16 where its values are, each row padded with zeros
// to kHalvesAlignment; else binary32.
class CudaFloats : public PackedWeights {
 public:
  CudaFloats(Queue queue, MatView<const float> weight, FloatOperands operands);
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t stride() const { return stride_; }
  Elements elements() const {
    return half_.capacity() > 0 ? Elements(half_.data()) : Elements(floats_.data());
  }

 private:
  int64_t n_, k_, stride_;
  DeviceMemory<Half> half_;
  DeviceMemory<float> floats_;
};

// A layer of codes, [n, stride], each row padded with zeros to kCodesAlignment.
class CudaInt8 final : public PackedWeights {
 public:
  CudaInt8(Queue queue, const QuantizedLinear& linear, int64_t group);

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t stride() const { return PaddedCodes(k_); }
  int64_t group() const { return group_; }
  int64_t groups() const { return (k_ + group_ - 1) / group_; }
  int64_t scale_groups() const { return scale_groups_; }
  bool has_zero_points() const { return zero_point_.capacity() > 0; }
  // One accumulator and nothing to take off it.
  bool plain() const { return groups() == 1 && !has_zero_points(); }
  std::span<const int32_t> weight_code_sum() const { return row_code_sum_; }

  const int8_t* codes() const { return codes_.data(); }
  const float* scale() const { return scale_.data(); }               // [scale_groups, n]
  const float* bias() const { return bias_.data(); }                 // [n]; nullptr: none
  const int32_t* zero_points() const { return zero_point_.data(); }  // [groups, n] or nullptr

 private:
  int64_t n_, k_, group_;
  int64_t scale_groups_;
  std::vector<int32_t> row_code_sum_;
  DeviceMemory<int8_t> codes_;
  DeviceMemory<float> scale_, bias_;
  DeviceMemory<int32_t> zero_point_;
};

// The emulated arm's layer: its float products on the device, everything else on the host, where it
// shares nothing with the int8 arm's kernels.
class CudaEmulated final : public PackedWeights {
 public:
  CudaEmulated(Queue queue, const QuantizedLinear& linear, int64_t group);
  const EmulatedLinear& linear() const { return linear_; }

 private:
  EmulatedLinear linear_;
};

}  // namespace w8a8
