#include "runtime/cuda/cuda_backend.h"

#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/base/setting.h"
#include "runtime/cuda/baseline.h"
#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/cudnn_attention.h"
#include "runtime/cuda/portable_backend.h"

namespace w8a8 {
namespace {

// Why there is none; empty where `attention` has it.
std::string OpenAttention(std::unique_ptr<AttentionLibrary>* attention) {
  std::string reason = CudnnAttention::UnavailableReason();
  if (!reason.empty()) return reason;
  try {
    *attention = std::make_unique<CudnnAttention>();
  } catch (const Error& error) {  // parts of the library are missing
    reason = error.what();
  }
  return reason;
}

// cuDNN's attention where it is found. W8A8_BASELINE_ATTENTION=cudnn demands it, =own leaves it
// out.
BaselineLibraries OpenLibraries() {
  const char* variable = std::getenv("W8A8_BASELINE_ATTENTION");
  const std::string_view wanted = variable == nullptr ? "" : variable;
  if (!wanted.empty() && wanted != "cudnn" && wanted != "own") {
    throw BadSetting(fmt::format(
        "W8A8_BASELINE_ATTENTION={}: attention of speed baselines is cudnn or own.", wanted));
  }
  BaselineLibraries libraries{
      .products = std::make_unique<CublasLt>(), .attention = nullptr, .no_attention = ""};
  if (wanted == "own") {
    libraries.no_attention = "W8A8_BASELINE_ATTENTION=own";
    return libraries;
  }
  const std::string reason = OpenAttention(&libraries.attention);
  if (!reason.empty() && wanted == "cudnn") {
    Fail(
        "W8A8_BASELINE_ATTENTION=cudnn: {}. Install cuDNN 9.13 or later, or leave the setting out.",
        reason);
  }
  if (!reason.empty()) libraries.no_attention = "no cuDNN: " + reason;
  return libraries;
}

const std::shared_ptr<ProductCounts>& AllCounts() {
  static const auto counts = std::make_shared<ProductCounts>();
  return counts;
}

SpeedBaseline BaselineOf(const char* name, BaselineKind kind, const std::string& too_old, int index,
                         const CudaKernels& kernels) {
  return {.name = name,
          .unusable_reason = too_old.empty() ? CublasLt::UnavailableReason() : too_old,
          .open = [kind, index, &kernels]() -> SpeedBaseline::Opened {
            UseDevice(index);
            auto backend = std::make_unique<BaselineBackend>(index, kind, OpenLibraries(),
                                                             kernels.make(index));
            const BaselineBackend& baseline = *backend;
            return {std::move(backend), [&baseline] { return baseline.How(); }};
          }};
}

}  // namespace

std::vector<CudaKernelsFacts> CudaKernelSets() {
  std::vector<CudaKernelsFacts> sets;
  for (const CudaKernels& kernels : AllCudaKernels()) {
    const std::string reason = kernels.unusable_reason(0);
    // Opening the library takes a second, which no set that cannot run is worth.
    const std::string no_cublaslt = reason.empty() ? CublasLt::UnavailableReason() : "";
    sets.push_back({std::string(kernels.name), kernels.products(no_cublaslt), reason});
  }
  return sets;
}

const ProductCounts& CountsOfCudaDevices() { return *AllCounts(); }

std::string CudaUnavailableReason() { return AllCudaKernels().back().unusable_reason(0); }

CudaDevice OpenCudaDevice(int index, std::string_view forced) {
  const std::string reason = AllCudaKernels().back().unusable_reason(index);
  if (!reason.empty()) Fail("cuda:{}: {}. Use the CPU.", index, reason);
  const CudaKernels& kernels = SelectCudaKernels(forced, index);
  return {.text = DeviceText(index),
          .kernels = std::string(kernels.name),
          .products = kernels.products(CublasLt::UnavailableReason()),
          .attention = {"FP16 by mma.sync, softmax FP32", "BF16 by mma.sync", "INT8 by mma.sync"},
          .make_backend = [index, &kernels]() -> std::unique_ptr<Backend> {
            UseDevice(index);  // whose libraries' handles they will be
            std::unique_ptr<CudaProducts> products = kernels.make(index);
            if (products != nullptr) products->CountIn(AllCounts());
            return std::make_unique<CudaBackend>(index, std::move(products));
          },
          .baselines = {BaselineOf("fp16 speed baseline", BaselineKind::kHalf, "", index, kernels),
                        BaselineOf("fp8 (E4M3) speed baseline", BaselineKind::kFp8,
                                   TooOldFor(index, 8, 9), index, kernels)}};
}

}  // namespace w8a8
