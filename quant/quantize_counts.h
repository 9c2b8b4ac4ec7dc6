// What a quantizer met that its codes cannot show.
#pragma once

#include <cstdint>

namespace w8a8 {

// Counted over the values x given to the quantizer, never over the codes.
struct QuantizeCounts {
  uint64_t nan = 0;
  uint64_t inf = 0;
  uint64_t saturated = 0;  // x finite and its nearest code beyond the quantizer's
};

}  // namespace w8a8
