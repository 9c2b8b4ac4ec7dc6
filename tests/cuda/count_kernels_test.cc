// Statistics on the device against calibration's own.
#include "runtime/cuda/count_kernels.h"

#include <algorithm>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "calib/pattern_histogram.h"
#include "runtime/base/count_rows.h"
#include "runtime/row_counter.h"
#include "tests/cuda/device_matrix.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/slot_values.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class CountKernels : public DeviceTest {};

struct Shape {
  int64_t rows, cols, gap;
};
const std::vector<Shape> kShapes = {{1, 1, 0},   {5, 7, 3},    {33, 72, 0},
                                    {9, 257, 8}, {5, 1152, 0}, {1025, 3, 5}};

std::vector<Half> ValuesOf(const Shape& shape) {
  std::vector<Half> values = Halves(AnyHalves(shape.rows * shape.cols, 1));
  for (size_t i = 0; i + 3 < values.size(); i += 7) values[i + 1] = values[i + 3] = Half{};
  return values;
}

std::vector<uint8_t> EveryThirdLeftOut(int64_t rows) {
  std::vector<uint8_t> mask(static_cast<size_t>(rows), 1);
  for (size_t row = 2; row < mask.size(); row += 3) mask[row] = 0;
  return mask;
}

std::span<const Half> RowOf(const std::vector<Half>& values, const Shape& shape, int64_t row) {
  return std::span(values).subspan(static_cast<size_t>(row * shape.cols),
                                   static_cast<size_t>(shape.cols));
}

// Of the rows [first, last) that the mask keeps, by the CPU's plain loop; one image.
RowMoments MomentsOf(const std::vector<Half>& values, const Shape& shape, int64_t first,
                     int64_t last, const std::vector<uint8_t>& mask) {
  const auto cols = static_cast<size_t>(shape.cols);
  RowMoments moments{.row_absmax = {},
                     .sum = std::vector<double>(cols),
                     .sum_sq = std::vector<double>(cols),
                     .channel_absmax = std::vector<Half>(cols)};
  std::vector<uint32_t> counts(PatternHistogram::kPatterns);
  for (int64_t row = first; row < last; ++row) {
    if (mask[static_cast<size_t>(row)] == 0) continue;
    CountRowsPlainly({.x = RowOf(values, shape, row).data(),
                      .x_stride = shape.cols,
                      .rows = 1,
                      .cols = shape.cols,
                      .counts = counts.data(),
                      .sum = moments.sum.data(),
                      .sum_sq = moments.sum_sq.data(),
                      .absmax = moments.channel_absmax.data(),
                      .row_absmax = &moments.row_absmax.emplace_back()});
  }
  return moments;
}

TEST_F(CountKernels, AddEachPatternToItsCounter) {
  for (const Shape& shape : kShapes) {
    const std::vector<Half> values = ValuesOf(shape);
    const std::vector<uint8_t> mask = EveryThirdLeftOut(shape.rows);
    PatternHistogram expected;
    for (int64_t row = 0; row < shape.rows; ++row) {
      if (mask[static_cast<size_t>(row)] != 0) expected.Add(RowOf(values, shape, row));
    }
    expected.Add(values);
    const DeviceRows<Half> x(values, shape.cols, {0, shape.gap});
    const DeviceArray<uint8_t> masks(mask);
    const DeviceArray<uint64_t> counts(std::vector<uint64_t>(PatternHistogram::kPatterns, 0));
    LaunchCountPatterns(nullptr, {.rows = x.view(), .mask = masks.data(), .counts = counts.data()});
    LaunchCountPatterns(nullptr, {.rows = x.view(), .counts = counts.data()});
    const std::vector<uint64_t> actual = counts.Download();
    EXPECT_TRUE(std::equal(actual.begin(), actual.end(), expected.counts().begin()));
  }
}

TEST_F(CountKernels, FindARowsLargestFiniteMagnitude) {
  for (const Shape& shape : kShapes) {
    const std::vector<Half> values = ValuesOf(shape);
    const std::vector<uint8_t> all(static_cast<size_t>(shape.rows), 1);
    const std::vector<Half> expected = MomentsOf(values, shape, 0, shape.rows, all).row_absmax;
    const DeviceRows<Half> x(values, shape.cols, {0, shape.gap});
    const DeviceArray<Half> absmax(expected.size());
    LaunchRowAbsmax(nullptr, x.view(), absmax.data());
    EXPECT_EQ(Equal(expected, absmax.Download()), "");
  }
}

// Images of unequal numbers of rows, one without any.
TEST_F(CountKernels, SumEachImagesChannelsLikeTheCpu) {
  for (const Shape& shape : kShapes) {
    const std::vector<Half> values = ValuesOf(shape);
    const std::vector<uint8_t> mask = EveryThirdLeftOut(shape.rows);
    const std::vector<int64_t> first = {0, shape.rows / 4, shape.rows / 4, shape.rows};
    std::vector<double> sum, sum_sq;
    std::vector<Half> absmax;
    for (size_t image = 0; image + 1 < first.size(); ++image) {
      const RowMoments moments = MomentsOf(values, shape, first[image], first[image + 1], mask);
      sum.insert(sum.end(), moments.sum.begin(), moments.sum.end());
      sum_sq.insert(sum_sq.end(), moments.sum_sq.begin(), moments.sum_sq.end());
      absmax.insert(absmax.end(), moments.channel_absmax.begin(), moments.channel_absmax.end());
    }
    const DeviceRows<Half> x(values, shape.cols, {0, shape.gap});
    const DeviceArray<uint8_t> masks(mask);
    const DeviceArray<int64_t> firsts(first);
    const DeviceArray<double> sums(sum.size()), sums_sq(sum.size());
    const DeviceArray<Half> largest(sum.size());
    LaunchImageMoments(nullptr, {.rows = x.view(),
                                 .mask = masks.data(),
                                 .first_row = firsts.data(),
                                 .images = 3,
                                 .sum = sums.data(),
                                 .sum_sq = sums_sq.data(),
                                 .absmax = largest.data()});
    EXPECT_EQ(sum, sums.Download());
    EXPECT_EQ(sum_sq, sums_sq.Download());
    EXPECT_EQ(Equal(absmax, largest.Download()), "");
  }
}

}  // namespace
}  // namespace w8a8::test
