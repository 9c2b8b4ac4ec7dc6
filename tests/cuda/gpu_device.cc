// What device-independent tests run on, where that is the first GPU of the machine. The backend's
// products are those of W8A8_CUDA_KERNELS, else of the best set.
#include <cuda_runtime_api.h>

#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/cuda_error.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_memory.h"

namespace w8a8::test {

std::string DeviceMissing() { return CudaUnavailableReason(); }

void PoisonOnDevice(std::byte* memory, size_t bytes) {
  if (bytes == 0) return;
  CheckCuda(cudaMemset(memory, 0xd5, bytes), "poisoning memory");
  CheckCuda(cudaDeviceSynchronize(), "poisoning memory");
}

namespace {

bool g_set_counts = false;

}  // namespace

std::unique_ptr<Backend> MakeBackendOnDevice() {
  const CudaDevice device = OpenCudaDevice(0, "");
  g_set_counts = device.kernels != "mma";
  return device.make_backend();
}

const ProductCounts* CountsOfTheSet() { return g_set_counts ? &CountsOfCudaDevices() : nullptr; }

}  // namespace w8a8::test
