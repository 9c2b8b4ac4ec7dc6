#include "runtime/cuda/cuda_device_facts.h"

#include <cuda_runtime_api.h>

#include <fmt/format.h>

#include "runtime/cuda/cuda_error.h"

namespace w8a8 {
namespace {

int Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  CheckCuda(cudaDeviceGetAttribute(&value, attribute, device), "asking a device about itself");
  return value;
}

}  // namespace

std::string TooOldFor(int device, int major, int minor) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    return fmt::format("there is no NVIDIA driver, or one older than CUDA {}.{}",
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  }
  if (status != cudaSuccess) return cudaGetErrorString(status);
  if (device >= count) return fmt::format("this machine has {} CUDA device(s)", count);
  const int has_major = Attribute(cudaDevAttrComputeCapabilityMajor, device);
  const int has_minor = Attribute(cudaDevAttrComputeCapabilityMinor, device);
  if (has_major > major || (has_major == major && has_minor >= minor)) return "";
  return fmt::format("its compute capability is {}.{}, and {}.{} is the least", has_major,
                     has_minor, major, minor);
}

int MultiprocessorsOf(int device) { return Attribute(cudaDevAttrMultiProcessorCount, device); }

std::string DeviceText(int device) {
  cudaDeviceProp properties{};
  CheckCuda(cudaGetDeviceProperties(&properties, device), "asking a device about itself");
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors",
                     static_cast<const char*>(properties.name), properties.major, properties.minor,
                     properties.multiProcessorCount);
}

}  // namespace w8a8
