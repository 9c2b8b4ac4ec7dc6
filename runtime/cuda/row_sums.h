// The row sum of numerics.md section 2 by one warp. Included by kernel files.
#pragma once

#include "runtime/cuda/block.h"

namespace w8a8 {

constexpr int kSumsOfLane = 8;
constexpr int kRowSums = kSumsOfLane * kWarpLanes;  // element k goes into partial sum k mod 256

// Lane l has partial sums 8 l to 8 l + 7 in `s`. Of all lanes: the sum.
W8A8_DEVICE float CombineRowSums(float (&s)[kSumsOfLane]) {
#pragma unroll
  for (int h = kSumsOfLane / 2; h > 0; h /= 2) {
#pragma unroll
    for (int i = 0; i < h; ++i) s[i] += s[i + h];
  }
  float sum = s[0];
#pragma unroll
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
  return sum;
}

}  // namespace w8a8
