// What is left to do where a library makes a product: int32 sums dequantized, float sums rounded.
#pragma once

#include <cstdint>

#include "runtime/cuda/float_product_kernels.h"
#include "runtime/cuda/product_kernels.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// The output of `args`, of any kind, from its sums [m, n]; x and weight are not read. `args.acc`
// gets a copy, where wanted.
void LaunchDequantize(Queue queue, const int32_t* sums, const ProductArgs& args);
// The same of a float product: bias added in binary32, then the one rounding, if any.
void LaunchFinishFloats(Queue queue, const float* sums, const FloatProductArgs& args);

// to[i] = value: the scale of rows that a product made codes of.
void LaunchRepeat(Queue queue, float value, int64_t count, float* to);

}  // namespace w8a8
