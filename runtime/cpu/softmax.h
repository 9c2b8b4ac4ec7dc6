// The exponentials of one attention row.
#pragma once

#include <cstdint>

namespace w8a8 {

constexpr int64_t kSoftmaxLanes = 16;
constexpr int64_t PaddedToSoftmaxLanes(int64_t count) {
  return (count + kSoftmaxLanes - 1) / kSoftmaxLanes * kSoftmaxLanes;
}

// exp(x) for x <= 0, binary32 to binary32: relative error <= 2^-20, exp(0) = 1 exactly, 0 below
// -87, NaN stays NaN. The bits do not depend on the instruction set that evaluates it.
float ExpNonPositive(float x);

// scores[j] = exp(scale * (scores[j] - max over the row)), in place; returns the sum over the row.
// count >= 1, scale > 0. The row has room for PaddedToSoftmaxLanes(count) elements, those past
// `count` are overwritten. Element j goes into partial sum j mod 16, and those are folded in
// halves: equal bits on every machine. A row with a NaN or +Inf sums to NaN.
float SoftmaxNumerators(float* scores, int64_t count, float scale);

}  // namespace w8a8
