#include "runtime/base/error.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {

std::string CudaUnavailableReason() { return "this build has no CUDA backend"; }

std::vector<CudaKernelsFacts> CudaKernelSets() { return {}; }

const ProductCounts& CountsOfCudaDevices() {
  static const ProductCounts none;
  return none;
}

CudaDevice OpenCudaDevice(int index, std::string_view) {
  Fail("cuda:{}: {}. Use the CPU.", index, CudaUnavailableReason());
}

}  // namespace w8a8
