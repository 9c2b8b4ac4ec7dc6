// Float products on any GPU from sm_80 on: of FP16 operands on tensor cores, of all others by FMAs
// in binary32 (no TF32, which has ten bits).
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

// y[i, j] = sum over k of x[i, k] * weight[j, k] in binary32, then + bias[j], rounded once to FP16
// or not at all. An output's bits depend on its row and column alone.
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
// By tensor cores where they can: both operands FP16, 16-byte aligned, with strides of whole 16
// bytes, and zeros from k on up to a multiple of kHalvesAlignment where k is none.
void LaunchFloatProduct(Queue queue, const FloatProductArgs& args);
// By FMAs, k ascending from 0, whatever the operands are.
void LaunchFmaProduct(Queue queue, const FloatProductArgs& args);
constexpr int64_t kHalvesAlignment = 8;
constexpr int64_t PaddedHalves(int64_t count) {
  return (count + kHalvesAlignment - 1) / kHalvesAlignment * kHalvesAlignment;
}

}  // namespace w8a8
