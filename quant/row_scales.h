// Which scale has row m: one a row, or one that all rows share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/quantizer.h"

namespace w8a8 {

struct RowScales {
  std::vector<float> values;  // [rows], or [1] where shared
  bool shared = false;

  float operator[](int64_t row) const { return values[shared ? 0 : static_cast<size_t>(row)]; }
  int64_t count() const { return static_cast<int64_t>(values.size()); }
};

// `scale` [rows] as quantizers leave it, a static one repeated.
inline RowScales ScalesOf(const Quantizer& quantizer, std::span<const float> scale) {
  const auto count = static_cast<size_t>(quantizer.ScaleCount(static_cast<int64_t>(scale.size())));
  return {{scale.begin(), scale.begin() + static_cast<int64_t>(count)}, quantizer.is_static()};
}

}  // namespace w8a8
