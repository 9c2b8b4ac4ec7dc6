// Whether values may be worked on without looking at each.
#pragma once

#include <cstdint>
#include <span>

#include "quant/numerics.h"

namespace w8a8 {

// Without a way out of the loop, so that it is compiled for several values at once.
inline bool AllFinite(std::span<const float> values) {
  uint32_t others = 0;
  for (const float value : values) others |= IsFiniteBits(value) ? 0u : 1u;
  return others == 0;
}

}  // namespace w8a8
