// Calibration's counts of FP16 rows for every width of vector; see vector_rows.h, which includes
// it.
#pragma once

#include <cstdint>

#include "runtime/base/count_rows.h"

namespace w8a8 {

// One pass for counters and moments: the increments want the core's stores, the moments its vector
// units, and side by side both take 0.43 to 0.55 ns a value where one after the other takes 0.65 to
// 0.7 (AVX-512, Zen 4, rows of 192 and 768 values).
template <class V>
struct VectorCounts {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  using Doubles = typename V::Doubles;
  static constexpr int64_t kLanes = V::kLanes, kHalf = kLanes / 2;
  static constexpr int64_t kRows = kHalf;  // at once, so that their maxima stay in registers

  // Columns [first, first + kLanes), over kRows rows.
  struct Columns {
    Doubles sum_low, sum_high, sq_low, sq_high;
    Floats absmax;
  };

  template <class Lanes>
  static Columns Load(const double* sum, const double* sum_sq, const Half* absmax, Lanes lanes) {
    return {V::Load(sum), V::Load(sum + kHalf), V::Load(sum_sq), V::Load(sum_sq + kHalf),
            V::Load(absmax, lanes)};
  }
  template <class Lanes>
  static void Store(const Columns& columns, double* sum, double* sum_sq, Half* absmax,
                    Lanes lanes) {
    V::Store(sum, columns.sum_low);
    V::Store(sum + kHalf, columns.sum_high);
    V::Store(sum_sq, columns.sq_low);
    V::Store(sum_sq + kHalf, columns.sq_high);
    V::Store(absmax, lanes, columns.absmax);
  }

  // `lanes` is what a load takes, `count` how many values that is.
  template <class Lanes>
  static void Add(const Half* x, Lanes lanes, int64_t count, uint32_t* counts, Columns& columns,
                  Floats& row_max) {
    const Floats value = V::Load(x, lanes);
    const Ints is_finite = ((Ints)value & 0x7fffffff) < 0x7f800000;
    const Floats finite = (Floats)((Ints)value & is_finite);
    const Floats magnitude = (Floats)((Ints)finite & 0x7fffffff);
    const Floats square = finite * finite;
    columns.absmax = V::Max(columns.absmax, magnitude);
    row_max = V::Max(row_max, magnitude);
    columns.sum_low = columns.sum_low + V::WidenLow(finite);
    columns.sum_high = columns.sum_high + V::WidenHigh(finite);
    columns.sq_low = columns.sq_low + V::WidenLow(square);
    columns.sq_high = columns.sq_high + V::WidenHigh(square);
    for (int64_t i = 0; i < count; ++i) ++counts[x[i].bits];
  }

  // Those of all columns that fill a vector.
  static void AddWhole(const CountRowsArgs& args, int64_t first_row, int64_t rows, int64_t first,
                       Floats* row_max) {
    const auto all = V::FirstLanes(kLanes);
    Columns columns = Load(args.sum + first, args.sum_sq + first, args.absmax + first, all);
    const Half* x = args.x + first_row * args.x_stride + first;
    const auto add = [&](int64_t row) {
      Add(x + row * args.x_stride, all, kLanes, args.counts, columns, row_max[row]);
    };
    if (rows == kRows) {  // unrolled
      for (int64_t row = 0; row < kRows; ++row) add(row);
    } else {
      for (int64_t row = 0; row < rows; ++row) add(row);
    }
    Store(columns, args.sum + first, args.sum_sq + first, args.absmax + first, all);
  }

  // Those of the last columns, by way of whole vectors.
  static void AddTail(const CountRowsArgs& args, int64_t first_row, int64_t rows, int64_t first,
                      Floats* row_max) {
    const int64_t count = args.cols - first;
    const auto lanes = V::FirstLanes(count);
    double sum[kLanes] = {}, sum_sq[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      sum[i] = args.sum[first + i];
      sum_sq[i] = args.sum_sq[first + i];
    }
    Columns columns = Load(sum, sum_sq, args.absmax + first, lanes);
    const Half* x = args.x + first_row * args.x_stride + first;
    for (int64_t row = 0; row < rows; ++row) {
      Add(x + row * args.x_stride, lanes, count, args.counts, columns, row_max[row]);
    }
    Store(columns, sum, sum_sq, args.absmax + first, lanes);
    for (int64_t i = 0; i < count; ++i) {
      args.sum[first + i] = sum[i];
      args.sum_sq[first + i] = sum_sq[i];
    }
  }

  static void CountRows(const CountRowsArgs& args) {
    const int64_t whole = args.cols / kLanes * kLanes;
    for (int64_t first_row = 0; first_row < args.rows; first_row += kRows) {
      const int64_t rows = args.rows - first_row < kRows ? args.rows - first_row : kRows;
      Floats row_max[kRows];
      for (Floats& largest : row_max) largest = V::Splat(0.0f);
      for (int64_t first = 0; first < whole; first += kLanes) {
        AddWhole(args, first_row, rows, first, row_max);
      }
      if (whole < args.cols) AddTail(args, first_row, rows, whole, row_max);
      for (int64_t row = 0; row < rows; ++row) {
        const Floats largest = V::Splat(V::LargestLane(row_max[row]));
        V::Store(args.row_absmax + first_row + row, V::FirstLanes(1), largest);
      }
    }
  }
};

}  // namespace w8a8
