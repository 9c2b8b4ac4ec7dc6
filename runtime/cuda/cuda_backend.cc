#include "runtime/cuda/cuda_backend.h"

#include "runtime/base/error.h"
#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/portable_backend.h"

namespace w8a8 {

std::vector<CudaKernelsFacts> CudaKernelSets() {
  std::vector<CudaKernelsFacts> sets;
  for (const CudaKernels& kernels : AllCudaKernels()) {
    sets.push_back(
        {std::string(kernels.name), std::string(kernels.products), kernels.unusable_reason(0)});
  }
  return sets;
}

std::string CudaUnavailableReason() { return AllCudaKernels().back().unusable_reason(0); }

CudaDevice OpenCudaDevice(int index, std::string_view forced) {
  const std::string reason = AllCudaKernels().back().unusable_reason(index);
  if (!reason.empty()) Fail("cuda:{}: {}. Use the CPU.", index, reason);
  const CudaKernels& kernels = SelectCudaKernels(forced, index);
  return {.text = DeviceText(index),
          .kernels = std::string(kernels.name),
          .products = std::string(kernels.products),
          .attention = {"FP16 by mma.sync, softmax FP32", "BF16 by mma.sync", "INT8 by mma.sync"},
          .make_backend = [index, &kernels]() -> std::unique_ptr<Backend> {
            return std::make_unique<CudaBackend>(index, kernels.make(index));
          }};
}

}  // namespace w8a8
