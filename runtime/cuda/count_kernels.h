// What calibration counts of FP16 rows, on the device: every number exact or summed in the CPU's
// order, so equal in every bit to the CPU's statistics.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// counts[pattern] [65,536] += how often the pattern occurs in the rows that `mask` does not leave
// out: [rows], 0 leaves out; null: no row.
struct CountPatternsArgs {
  MatView<const Half> rows;
  const uint8_t* mask = nullptr;
  uint64_t* counts = nullptr;
};
void LaunchCountPatterns(Queue queue, const CountPatternsArgs& args);

// absmax[row] = the largest finite magnitude of the row, without a sign; 0 if there is none.
void LaunchRowAbsmax(Queue queue, MatView<const Half> rows, Half* absmax);

// Sums over the rows of each image, per channel, in row order in binary64; what is not finite adds
// 0. Rows first_row[image] to first_row[image + 1] are those of the image.
struct ImageMomentsArgs {
  MatView<const Half> rows;
  const uint8_t* mask = nullptr;       // as above
  const int64_t* first_row = nullptr;  // [images + 1], on the device
  int64_t images = 0;
  double* sum = nullptr;     // [images, rows.cols]
  double* sum_sq = nullptr;  // [images, rows.cols]: of squares in binary32, where they are exact
  Half* absmax = nullptr;    // [images, rows.cols]: the largest finite magnitude
};
void LaunchImageMoments(Queue queue, const ImageMomentsArgs& args);

}  // namespace w8a8
