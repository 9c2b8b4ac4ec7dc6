// Statistics on the device against calibration's own.
#include "runtime/cuda/count_kernels.h"

#include <algorithm>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "calib/image_moments.h"
#include "calib/pattern_histogram.h"
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
    std::vector<Half> expected;
    for (int64_t row = 0; row < shape.rows; ++row) {
      expected.push_back(ImageMoments(shape.cols).AddRow(RowOf(values, shape, row)));
    }
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
      ImageMoments moments(shape.cols);
      for (int64_t row = first[image]; row < first[image + 1]; ++row) {
        if (mask[static_cast<size_t>(row)] != 0) moments.AddRow(RowOf(values, shape, row));
      }
      sum.insert(sum.end(), moments.sum.begin(), moments.sum.end());
      sum_sq.insert(sum_sq.end(), moments.sum_sq.begin(), moments.sum_sq.end());
      absmax.insert(absmax.end(), moments.absmax.begin(), moments.absmax.end());
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
