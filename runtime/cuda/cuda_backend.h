// The CUDA devices, as far as this build and machine have any.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/backend.h"
#include "runtime/base/precision.h"
#include "runtime/cuda/product_counts.h"
#include "runtime/speed_baseline.h"

namespace w8a8 {

// Why no CUDA device can be used on this build and machine; empty if the first one can.
std::string CudaUnavailableReason();

// A kernel set of CUDA devices, and why the first device cannot run it (empty: it can).
struct CudaKernelsFacts {
  std::string name, products, unusable_reason;
};
// Those of this build, the best first; none where it has no CUDA backend.
std::vector<CudaKernelsFacts> CudaKernelSets();

// What the kernel sets of this process made and left so far, on all devices. A set that is the
// kernels for every GPU counts nothing.
const ProductCounts& CountsOfCudaDevices();

struct CudaDevice {
  std::string text;      // "NVIDIA H200, compute capability 9.0, 132 multiprocessors"
  std::string kernels;   // the set that was chosen
  std::string products;  // how it makes products, for people
  std::array<std::string, kAttentionPrecisions> attention;  // by AttentionPrecision, likewise
  std::function<std::unique_ptr<Backend>()> make_backend;
  std::vector<SpeedBaseline> baselines;  // FP16, FP8
};
// With the kernel set named `forced`, else by W8A8_CUDA_KERNELS, else the best. Throws Error with
// the reason where the device or the set cannot be used, BadSetting for a set that nobody knows.
CudaDevice OpenCudaDevice(int index, std::string_view forced);

}  // namespace w8a8
