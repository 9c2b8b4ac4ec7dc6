// The backend but for the device itself: what tests run on a model of one.
#pragma once

#include <memory>

#include "runtime/backend.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/device_vectors.h"

namespace w8a8 {

class CudaBackend final : public Backend {
 public:
  // `products`: a kernel set's; nullptr: the kernels for every GPU.
  explicit CudaBackend(int device_index, std::unique_ptr<CudaProducts> products = nullptr);

  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override;  // CudaFloats
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override;          // CudaInt8
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override;  // CudaEmulated
  std::unique_ptr<Arena> MakeArena() override;                                    // CudaArena

 private:
  const int device_index_;
  const std::unique_ptr<CudaProducts> products_;
  DeviceVectors vectors_;
};

}  // namespace w8a8
