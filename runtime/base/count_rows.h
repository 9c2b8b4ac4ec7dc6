// What calibration counts of the FP16 rows of an image, in one pass over them.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {

// Everything is added to, `row_absmax` apart. Values that are not finite are counted, and else
// taken as 0; magnitudes have no sign. Strides count elements.
struct CountRowsArgs {
  const Half* x;
  int64_t x_stride;
  int64_t rows, cols;
  uint32_t* counts;  // [65,536]: how often each pattern occurs
  // [cols], in row order. Up to 4,096 rows of one image `sum` is exact: multiples of 2^-24 below
  // 2^28. `sum_sq` is rounded to binary64 after every row; squares of FP16 values are exact in
  // binary32.
  double* sum;
  double* sum_sq;
  Half* absmax;      // [cols]: the largest magnitude
  Half* row_absmax;  // [rows]: the row's
};
using CountRowsLoop = void(const CountRowsArgs&);

// One value after the other. Every other loop leaves equal bits.
CountRowsLoop CountRowsPlainly;

// What CountRows() runs on from now on, in the program from runtime/cpu/kernels.h, which knows the
// CPU; before the first call it is the plain loop. Returns what was in use.
CountRowsLoop* UseCountRows(CountRowsLoop* loop);

void CountRows(const CountRowsArgs& args);

}  // namespace w8a8
