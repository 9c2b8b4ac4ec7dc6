// What calibration counts of a slot's FP16 rows, counted by the device that holds them, so that
// they stay there. Every number is exact or summed in the order of the CPU's, so equal to it in
// every bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/half.h"
#include "runtime/base/matrix.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Magnitudes have no sign and are finite; what is not finite adds 0.
struct RowMoments {
  std::vector<Half> row_absmax;  // [rows]: the largest of each
  // [images, cols], over the rows of each image in their order, in binary64; the squares in
  // binary32, where they are exact.
  std::vector<double> sum, sum_sq;
  std::vector<Half> channel_absmax;  // [images, cols]
};

class RowCounter {
 public:
  virtual ~RowCounter() = default;
  // [65,536]: how often each pattern occurs in the rows.
  virtual std::vector<uint64_t> CountPatterns(SlotId id) = 0;
  virtual RowMoments MomentsOf(SlotId id) = 0;
  virtual Matrix<Half> CopyRows(SlotId id, std::span<const int32_t> rows) = 0;
};

}  // namespace w8a8
