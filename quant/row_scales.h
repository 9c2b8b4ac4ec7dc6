// Which scale and zero point has a row, or a group of a row: what a quantizer left of its rows.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/quantizer.h"

namespace w8a8 {

struct RowScales {
  std::vector<float> values;              // [rows, groups], or [1] where shared
  std::vector<int32_t> zero_points = {};  // [rows], or [1] where shared; empty: symmetric
  bool shared = false;                    // one static scale for all rows
  int64_t groups = 1;                     // of each row
  int64_t group_size = 0;                 // inputs that share a scale; the last group may be short
  std::vector<float> second_values = {};  // [images]: of the first rows' second codes

  ActivationScale At(int64_t row, int64_t col) const {
    const int64_t group = groups == 1 ? 0 : col / group_size;
    const auto at = static_cast<size_t>(shared ? 0 : row * groups + group);
    const auto point = static_cast<size_t>(shared ? 0 : row);
    return {values[at], 0.0f, zero_points.empty() ? 0 : zero_points[point]};
  }
  int64_t count() const { return static_cast<int64_t>(values.size()); }
};

}  // namespace w8a8
