// What calibration counts of rows, on every kernel set, against sums of the test's own.
#include "runtime/base/count_rows.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::Equal;
using test::SetsUnderTest;

struct Counted {
  explicit Counted(size_t rows, size_t cols)
      : counts(65536), sum(cols), sum_sq(cols), absmax(cols), row_absmax(rows) {}
  std::vector<uint32_t> counts;
  std::vector<double> sum, sum_sq;
  std::vector<Half> absmax, row_absmax;
};

// Any pattern, of which one in 32 is not finite; the last of each row is the gap's.
std::vector<Half> AnyRows(size_t rows, size_t stride, uint64_t seed) {
  std::vector<Half> values(rows * stride);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i].bits = static_cast<uint16_t>(CounterHash(seed, i));
  }
  return values;
}

CountRowsArgs ArgsOf(const std::vector<Half>& x, size_t stride, Counted& to) {
  return {.x = x.data(),
          .x_stride = static_cast<int64_t>(stride),
          .rows = static_cast<int64_t>(to.row_absmax.size()),
          .cols = static_cast<int64_t>(to.sum.size()),
          .counts = to.counts.data(),
          .sum = to.sum.data(),
          .sum_sq = to.sum_sq.data(),
          .absmax = to.absmax.data(),
          .row_absmax = to.row_absmax.data()};
}

// Column by column, by the header's words.
void AddByContract(const std::vector<Half>& x, size_t stride, Counted& to) {
  std::fill(to.row_absmax.begin(), to.row_absmax.end(), Half{});
  for (size_t c = 0; c < to.sum.size(); ++c) {
    for (size_t r = 0; r < to.row_absmax.size(); ++r) {
      const Half value = x[r * stride + c];
      to.counts[value.bits] += 1;
      const double real = IsFinite(value) ? ToFloat(value) : 0.0;
      const Half magnitude{static_cast<uint16_t>(IsFinite(value) ? value.bits & 0x7fff : 0)};
      to.sum[c] += real;
      to.sum_sq[c] += real * real;
      to.absmax[c] = Half{std::max(to.absmax[c].bits, magnitude.bits)};
      to.row_absmax[r] = Half{std::max(to.row_absmax[r].bits, magnitude.bits)};
    }
  }
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

void ExpectEqual(const Counted& expected, const Counted& actual) {
  EXPECT_TRUE(expected.counts == actual.counts);
  EXPECT_TRUE(SameBits(expected.sum, actual.sum));
  EXPECT_TRUE(SameBits(expected.sum_sq, actual.sum_sq));
  EXPECT_EQ(Equal(expected.absmax, actual.absmax), "");
  EXPECT_EQ(Equal(expected.row_absmax, actual.row_absmax), "");
}

void ExpectTheContract(CountRowsLoop* loop) {
  for (const size_t rows : {1u, 3u, 4u, 8u, 9u, 21u}) {
    for (const size_t cols : {1u, 7u, 8u, 15u, 16u, 17u, 40u, 192u, 259u}) {
      SCOPED_TRACE(testing::Message() << rows << " x " << cols);
      Counted expected(rows, cols), actual(rows, cols);
      for (uint64_t image = 0; image < 2; ++image) {  // the second is added to the first
        const std::vector<Half> x = AnyRows(rows, cols + 3, 10 * image + cols);
        AddByContract(x, cols + 3, expected);
        loop(ArgsOf(x, cols + 3, actual));
      }
      ExpectEqual(expected, actual);
    }
  }
}

TEST(CountRows, EqualTheContractOnEverySet) {
  for (const Kernels& set : SetsUnderTest()) {
    SCOPED_TRACE(set.name);
    ExpectTheContract(set.rows->count_rows);
  }
}

TEST(CountRows, WithoutAKernelSetIsThePlainLoop) { ExpectTheContract(CountRowsPlainly); }

TEST(CountRows, OfNothingFiniteIsNothingButCounted) {
  for (const Kernels& set : SetsUnderTest()) {
    SCOPED_TRACE(set.name);
    const std::vector<Half> x(size_t{9} * 20, Half{0xfc00});  // -Inf
    Counted expected(9, 20), actual(9, 20);
    expected.counts[0xfc00] = 180;
    set.rows->count_rows(ArgsOf(x, 20, actual));
    ExpectEqual(expected, actual);
  }
}

}  // namespace
}  // namespace w8a8
