#include "runtime/cuda/cuda_kernels.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

std::string UsableNames(int device) {
  std::string names;
  for (const CudaKernels& kernels : AllCudaKernels()) {
    if (!kernels.unusable_reason(device).empty()) continue;
    names += (names.empty() ? "" : ", ") + std::string(kernels.name);
  }
  return names.empty() ? "none" : names;
}

const CudaKernels& Forced(std::string_view name, std::string_view source, int device) {
  for (const CudaKernels& kernels : AllCudaKernels()) {
    if (kernels.name != name) continue;
    const std::string reason = kernels.unusable_reason(device);
    if (reason.empty()) return kernels;
    Fail("{}{}: cuda:{} cannot run that kernel set: {}. Usable here: {}.", source, name, device,
         reason, UsableNames(device));
  }
  throw BadSetting(
      fmt::format("{}{}: no kernel set of CUDA devices has that name. Usable here: {}.", source,
                  name, UsableNames(device)));
}

}  // namespace

std::string ProductsText(std::string_view int8, std::string_view no_cublaslt) {
  if (no_cublaslt.empty()) return fmt::format("{}, FP16 by cuBLASLt", int8);
  return fmt::format("{}, FP16 by mma.sync (no cuBLASLt: {})", int8, no_cublaslt);
}

const CudaKernels& SelectCudaKernels(std::string_view forced, int device) {
  if (!forced.empty()) return Forced(forced, "", device);
  const char* variable = std::getenv("W8A8_CUDA_KERNELS");
  if (variable != nullptr && *variable != '\0') {
    return Forced(variable, "W8A8_CUDA_KERNELS=", device);
  }
  for (const CudaKernels& kernels : AllCudaKernels()) {
    if (kernels.unusable_reason(device).empty()) return kernels;
  }
  Fail("cuda:{}: no kernel set can run there: {}", device,
       AllCudaKernels().back().unusable_reason(device));
}

}  // namespace w8a8
