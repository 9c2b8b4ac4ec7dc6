#include "runtime/base/error.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {

std::string CudaUnavailableReason() { return "this build has no CUDA backend"; }

std::unique_ptr<Backend> MakeCudaBackend(int device_index) {
  Fail("cuda:{}: {}. Use the CPU.", device_index, CudaUnavailableReason());
}

}  // namespace w8a8
