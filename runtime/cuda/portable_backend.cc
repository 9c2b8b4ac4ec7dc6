#include "runtime/cuda/portable_backend.h"

#include <utility>

#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/cuda_weights.h"

namespace w8a8 {

CudaBackend::CudaBackend(int device_index, std::unique_ptr<CudaProducts> products)
    : device_index_(device_index), products_(std::move(products)) {
  UseDevice(device_index_);
}

PackedPtr CudaBackend::PackFloat(MatView<const float> weight, FloatOperands operands) {
  UseDevice(device_index_);
  return std::make_shared<CudaFloats>(nullptr, weight, operands);
}

PackedPtr CudaBackend::PackInt8(const QuantizedLinear& linear, int64_t group) {
  UseDevice(device_index_);
  return std::make_shared<CudaInt8>(nullptr, linear, group);
}

PackedPtr CudaBackend::PackEmulated(const QuantizedLinear& linear, int64_t group) {
  UseDevice(device_index_);
  return std::make_shared<CudaEmulated>(nullptr, linear, group);
}

std::unique_ptr<Arena> CudaBackend::MakeArena() {
  UseDevice(device_index_);  // whose queue it will have
  return std::make_unique<CudaArena>(device_index_, products_.get(), vectors_);
}

}  // namespace w8a8
