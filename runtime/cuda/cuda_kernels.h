// The kernel sets of CUDA devices: how the INT8 product is made, and FP16 products. Every other
// step is the same in all.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/cuda/float_product_kernels.h"
#include "runtime/cuda/product_counts.h"
#include "runtime/cuda/product_kernels.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// Products of one set, bound to one device. Calls of several threads, each with a queue of its own.
class CudaProducts {
 public:
  virtual ~CudaProducts() = default;
  // True if it takes the product, which it then launches; else nothing was done, and the kernels
  // for every GPU (product_kernels.h) make it. Nothing of a product decides but its shape and
  // alignment.
  virtual bool Product(Queue queue, const ProductArgs& args) = 0;
  virtual bool FloatProduct(Queue queue, const FloatProductArgs& args) = 0;

  // What its caller made with it and without it.
  ProductCounts& counts() const { return *counts_; }
  // In these, along with others.
  void CountIn(std::shared_ptr<ProductCounts> counts) { counts_ = std::move(counts); }

 private:
  std::shared_ptr<ProductCounts> counts_ = std::make_shared<ProductCounts>();
};

struct CudaKernels {
  std::string_view name;  // what people force it by: W8A8_CUDA_KERNELS
  // How products are made, for people; `no_cublaslt`: why cuBLASLt cannot be used, empty if it can.
  std::string (*products)(std::string_view no_cublaslt);
  // Why it cannot run on the device; empty if it can.
  std::string (*unusable_reason)(int device);
  // nullptr: the kernels for every GPU alone.
  std::unique_ptr<CudaProducts> (*make)(int device);
};

// "INT8 by wgmma, FP16 by cuBLASLt"; where that cannot be used, by what else and why. `int8` begins
// the text.
std::string ProductsText(std::string_view int8, std::string_view no_cublaslt);

// The best first.
std::span<const CudaKernels> AllCudaKernels();

// The set named `forced`, else by W8A8_CUDA_KERNELS, else the first that is usable. Throws Error
// for one that is unknown or cannot run here, with the reason and what can.
const CudaKernels& SelectCudaKernels(std::string_view forced, int device);

}  // namespace w8a8
