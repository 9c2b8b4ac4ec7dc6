// Float products with FMAs in binary32, k ascending, on any GPU: for operands that are not FP16 (no
// TF32, which has ten bits), and for those that are where no faster product is.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

enum class Element : uint8_t { kHalf, kFloat, kCode };  // FP16, binary32, int8

// Device memory of one of three kinds of elements.
struct Elements {
  Elements(const Half* half)  // NOLINT(google-explicit-constructor)
      : data(half), type(Element::kHalf) {}
  Elements(const float* floats)  // NOLINT(google-explicit-constructor)
      : data(floats), type(Element::kFloat) {}
  Elements(const int8_t* codes)  // NOLINT(google-explicit-constructor)
      : data(codes), type(Element::kCode) {}
  const void* data;
  Element type;
};

// y[i, j] = sum over k of x[i, k] * weight[j, k], from 0, then + bias[j], rounded once to FP16 or
// not at all. An output's bits depend on its row and column alone.
struct FloatProductArgs {
  int64_t m, n, k;
  Elements x;  // [m, x_stride]
  int64_t x_stride;
  Elements weight;  // [n, weight_stride]; both codes or neither
  int64_t weight_stride;
  const float* bias;  // [n]; nullptr: none
  Half* half;         // [m, y_stride]; or
  float* floats;      // the other one is nullptr
  int64_t y_stride;
};
void LaunchFloatProduct(Queue queue, const FloatProductArgs& args);

}  // namespace w8a8
