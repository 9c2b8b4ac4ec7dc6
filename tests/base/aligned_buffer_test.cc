#include "runtime/base/aligned_buffer.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "runtime/base/mat_view.h"

namespace w8a8 {
namespace {

TEST(AlignedBuffer, IsAlignedZeroedAndReadablePastItsEnd) {
  const AlignedBuffer<int8_t> buffer(65);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  for (int64_t i = 0; i < 65 + 64; ++i) EXPECT_EQ(buffer.data()[i], 0);
}

TEST(AlignedBuffer, NeverShrinks) {
  AlignedBuffer<float> buffer(100);
  float* const first = buffer.data();
  EXPECT_EQ(buffer.Reserve(10), first);
  EXPECT_EQ(buffer.capacity(), 100);
  buffer.Reserve(1000);
  EXPECT_EQ(buffer.capacity(), 1000);
  EXPECT_EQ(buffer[999], 0);
}

TEST(AlignedBuffer, RefusesACountThatOverflows) {
  AlignedBuffer<double> buffer;
  EXPECT_THROW(buffer.Reserve(INT64_MAX), std::bad_alloc);
  EXPECT_EQ(buffer.capacity(), 0);
}

TEST(MatView, RangesKeepTheStride) {
  int values[12] = {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23};
  const MatView<int> all{values, 3, 3, 4};
  const MatView<const int> part = all.RowRange(1, 2).ColRange(1, 2);
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.cols, 2);
  EXPECT_EQ(part.row(0)[0], 11);
  EXPECT_EQ(part.row_span(1).back(), 22);
}

}  // namespace
}  // namespace w8a8
