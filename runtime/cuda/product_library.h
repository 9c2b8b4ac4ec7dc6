// A library that multiplies matrices on a device, as far as the backend asks for it.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// y = x * weight^T, rows of all three on the device. Pointers and strides of whole 16 bytes.
struct LibraryProduct {
  // The last three round to FP16 or FP8 themselves: what speed is compared with. FP8 is E4M3, which
  // needs compute capability 8.9.
  enum class Kind : uint8_t { kCodesToInt32, kHalfToFloat, kHalfToHalf, kFp8ToHalf, kFp8ToFp8 };
  Kind kind = Kind::kCodesToInt32;
  int64_t m = 0, n = 0, k = 0;  // k: with padding
  const void* x = nullptr;
  int64_t x_stride = 0;  // elements, as all
  const void* weight = nullptr;
  int64_t weight_stride = 0;
  void* y = nullptr;  // [m, n] without gaps, of what the kind names
  // Of the last three kinds. Bias and then GELU (its tanh form) before y is rounded; `add`: y is
  // added to. Scales are single values on the device: operands stand for value * scale, and an FP8
  // y for value / scale, whose reciprocal is given.
  const Half* bias = nullptr;  // [n]; nullptr: none
  bool gelu = false;
  bool add = false;
  const float* x_scale = nullptr;
  const float* weight_scale = nullptr;
  const float* y_inv_scale = nullptr;
};

class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  // False where the library has no kernel for the product; nothing was done then.
  virtual bool Multiply(Queue queue, const LibraryProduct& product) = 0;
  // Whether all that it does is told to the queue, so that a graph can do it again.
  virtual bool fits_graphs() const { return true; }
};

}  // namespace w8a8
