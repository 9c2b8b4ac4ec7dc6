// Sums over the rows of one image, per channel, in row order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/half.h"

namespace w8a8 {

// Non-finite values count as 0.
class ImageMoments {
 public:
  explicit ImageMoments(int64_t channels);

  // Returns the largest finite magnitude of the row (a value without sign).
  Half AddRow(std::span<const Half> row);

  // Up to 4,096 rows `sum` is exact: multiples of 2^-24 below 2^28. `sum_sq` is rounded to binary64
  // after every row; squares of FP16 values are exact in binary32.
  std::vector<double> sum, sum_sq;
  std::vector<Half> absmax;

 private:
  std::vector<Half> finite_;
  std::vector<float> values_;
};

}  // namespace w8a8
