// Where a lane stands in a 16 x 8 tile of attention's products on tensor cores: rows Group() and
// Group() + 8, of each columns 2 * Quad() and the next. Included by kernel files.
#pragma once

#include <cstdint>

#include "runtime/cuda/block.h"

namespace w8a8 {

W8A8_DEVICE int Group() { return Lane() / 4; }
W8A8_DEVICE int Quad() { return Lane() % 4; }

// Over the four lanes that share two rows.
W8A8_DEVICE float MaximumOfQuad(float value) {
  for (int mask = 2; mask > 0; mask /= 2) {
    const float other = ShuffleXor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}
template <class T>
W8A8_DEVICE T SumOfQuad(T value) {
  for (int mask = 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}

}  // namespace w8a8
