// The list of the sets; a file of its own, so that a test can link another list in its place.
#include <array>
#include <map>
#include <mutex>

#include "quant/numerics.h"
#include "runtime/base/error.h"
#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/epilogue_kernels.h"
#include "runtime/cuda/wgmma_product.h"

namespace w8a8 {
namespace {

bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// FP16 products by cuBLASLt, where it is found; their sums leave it in binary32, so that bias and
// rounding are numerics.md's.
class LibraryProducts : public CudaProducts {
 public:
  bool Product(Queue queue, const ProductArgs& args) override {
    if (library_ == nullptr || args.n % 4 != 0) return false;  // the library's rule for int8
    if (args.x_stride != args.weight_stride) return false;
    const auto sums = Room<int32_t>(queue, args.m * args.n);
    const LibraryProduct product{.kind = LibraryProduct::Kind::kCodesToInt32,
                                 .m = args.m,
                                 .n = args.n,
                                 .k = args.x_stride,
                                 .x = args.x,
                                 .x_stride = args.x_stride,
                                 .weight = args.weight,
                                 .weight_stride = args.weight_stride,
                                 .y = sums};
    if (!library_->Multiply(queue, product)) return false;
    LaunchDequantize(queue, sums, args);
    return true;
  }

  bool FloatProduct(Queue queue, const FloatProductArgs& args) override {
    const bool halves = args.x.type == Element::kHalf && args.weight.type == Element::kHalf;
    const bool whole = args.k % 8 == 0 && args.x_stride % 8 == 0 && args.weight_stride % 8 == 0 &&
                       IsAligned(args.x.data) && IsAligned(args.weight.data);
    // What stays in binary32 shows how tensor cores cut sums off; our kernel mends that.
    if (library_ == nullptr || !halves || !whole || args.half == nullptr) return false;
    const auto sums = Room<float>(queue, args.m * args.n);
    const LibraryProduct product{.kind = LibraryProduct::Kind::kHalfToFloat,
                                 .m = args.m,
                                 .n = args.n,
                                 .k = args.k,
                                 .x = args.x.data,
                                 .x_stride = args.x_stride,
                                 .weight = args.weight.data,
                                 .weight_stride = args.weight_stride,
                                 .y = sums};
    if (!library_->Multiply(queue, product)) return false;
    LaunchFinishFloats(queue, sums, args);
    return true;
  }

 private:
  template <class T>
  T* Room(Queue queue, int64_t count) {
    const std::lock_guard lock(mutex_);
    return reinterpret_cast<T*>(rooms_[queue].Reserve(count * static_cast<int64_t>(sizeof(T))));
  }

  const std::unique_ptr<CublasLt> library_ =
      CublasLt::UnavailableReason().empty() ? std::make_unique<CublasLt>() : nullptr;
  std::mutex mutex_;
  std::map<Queue, DeviceMemory<std::byte>> rooms_;
};

WgmmaEpilogue EpilogueOf(ProductOutput output) {
  switch (output) {
    case ProductOutput::kHalf:
      break;
    case ProductOutput::kResidual:
      return WgmmaEpilogue::kResidual;
    case ProductOutput::kCodes:
      return WgmmaEpilogue::kCodes;
  }
  return WgmmaEpilogue::kHalf;
}

WgmmaProduct WgmmaProductOf(const ProductArgs& args) {
  WgmmaProduct product{.x = args.x,
                       .x_stride = args.x_stride,
                       .w = args.weight,
                       .w_stride = args.weight_stride,
                       .epilogue = EpilogueOf(args.output),
                       .outputs = {}};
  WgmmaOutputs& outputs = product.outputs;
  outputs.m = static_cast<int32_t>(args.m);
  outputs.n = static_cast<int32_t>(args.n);
  outputs.k = static_cast<int32_t>(args.k);
  outputs.scale_x = args.scale_x;
  outputs.scale_w = args.scale_w;
  outputs.bias = args.bias;
  outputs.out = args.y;
  outputs.out_stride = args.y_stride * static_cast<int64_t>(sizeof(Half));
  if (args.output == ProductOutput::kResidual) {
    outputs.layer_scale = args.layer_scale;
    outputs.residual = reinterpret_cast<const uint16_t*>(args.y);
    outputs.residual_stride = args.y_stride;
  }
  if (args.output == ProductOutput::kCodes) {
    outputs.out = args.codes;
    outputs.out_stride = args.codes_stride;
    outputs.activation = args.activation;
    outputs.inv_scale = TensorScale(args.codes_scale).inv_scale;
  }
  return product;
}

class WgmmaProducts final : public LibraryProducts {
 public:
  explicit WgmmaProducts(int device) : processors_(MultiprocessorsOf(device)) {}

  bool Product(Queue queue, const ProductArgs& args) override {
    if (args.acc != nullptr) return false;  // its sums never leave the registers
    // It writes n codes of a row, and not the zeros behind them.
    if (args.output == ProductOutput::kCodes && args.n != args.codes_stride) return false;
    const WgmmaProduct product = WgmmaProductOf(args);
    if (!WgmmaRefuses(product).empty()) return false;
    const WgmmaOutputs& sizes = product.outputs;
    LaunchWgmmaProduct(queue, product,
                       ChooseTiles(product.epilogue, sizes.m, sizes.n, sizes.k, processors_));
    return true;
  }

 private:
  const int processors_;
};

std::string LibraryReason(int device) {
  const std::string reason = TooOldFor(device, 8, 0);
  return reason.empty() ? CublasLt::UnavailableReason() : reason;
}

std::string WgmmaReason(int device) {
  const std::string reason = TooOldFor(device, 9, 0);
  return reason.empty() ? WgmmaUnavailable(device) : reason;
}

std::string AnyReason(int device) { return TooOldFor(device, 8, 0); }

const std::array kAll = {
    CudaKernels{"wgmma",
                [](std::string_view no_cublaslt) {
                  return ProductsText("INT8 by TMA and wgmma", no_cublaslt);
                },
                WgmmaReason,
                [](int device) -> std::unique_ptr<CudaProducts> {
                  return std::make_unique<WgmmaProducts>(device);
                }},
    CudaKernels{
        "cublaslt", [](std::string_view) { return std::string("INT8 and FP16 by cuBLASLt"); },
        LibraryReason,
        [](int) -> std::unique_ptr<CudaProducts> { return std::make_unique<LibraryProducts>(); }},
    CudaKernels{"mma", [](std::string_view) { return std::string("INT8 and FP16 by mma.sync"); },
                AnyReason, [](int) -> std::unique_ptr<CudaProducts> { return nullptr; }},
};

}  // namespace

std::span<const CudaKernels> AllCudaKernels() { return kAll; }

}  // namespace w8a8
