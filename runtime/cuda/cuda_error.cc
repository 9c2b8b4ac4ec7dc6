#include "runtime/cuda/cuda_error.h"

#include <cuda_runtime_api.h>

#include "runtime/base/error.h"

namespace w8a8 {

void CheckCuda(int status, std::string_view what) {
  if (status == cudaSuccess) return;
  const auto error = static_cast<cudaError_t>(status);
  cudaGetLastError();  // told here: the next launch asks for its own
  Fail("CUDA: {}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace w8a8
