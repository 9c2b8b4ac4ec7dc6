// The exponential of attention against the library's, and rows of it on every kernel set.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "quant/exponential.h"
#include "runtime/base/counter_hash.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::Equal;
using test::SetsUnderTest;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kScale = 0.125f;

std::vector<float> RandomScores(int64_t count) {
  std::vector<float> scores;
  for (int64_t i = 0; i < count; ++i) {
    scores.push_back(40.0f * HashUniform(static_cast<uint64_t>(count), static_cast<uint64_t>(i)));
  }
  return scores;
}

struct Row {
  std::vector<float> exponentials;
  std::vector<float> sum;
};

// The contract of row_kernels.h, element by element.
Row Expected(const std::vector<float>& scores) {
  float maximum = scores[0];
  for (const float score : scores) maximum = score > maximum ? score : maximum;
  Row row;
  std::vector<float> lanes(16);
  for (size_t j = 0; j < scores.size(); ++j) {
    row.exponentials.push_back(ExpNonPositive((scores[j] - maximum) * kScale));
    lanes[j % 16] += row.exponentials[j];
  }
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  row.sum = {lanes[0]};
  return row;
}

Row RunRow(const RowKernels& kernels, std::vector<float> scores) {
  const auto count = static_cast<int64_t>(scores.size());
  scores.resize(static_cast<size_t>(PaddedToSoftmaxLanes(count)), 1e30f);
  Row row{{}, {0.0f}};
  kernels.softmax_row(
      {.scores = scores.data(), .count = count, .scale = kScale, .sum = row.sum.data()});
  scores.resize(static_cast<size_t>(count));
  row.exponentials = scores;
  return row;
}

void ExpectEqualToTheContract(const std::vector<float>& scores) {
  const Row expected = Expected(scores);
  for (const Kernels& set : SetsUnderTest()) {
    const Row actual = RunRow(*set.rows, scores);
    EXPECT_EQ(Equal(expected.exponentials, actual.exponentials), "")
        << set.name << ", " << scores.size() << " scores";
    EXPECT_EQ(Equal(expected.sum, actual.sum), "")
        << set.name << ", the sum of " << scores.size() << " scores";
  }
}

// Every 61st binary32 number of [-87, 0], zero included.
TEST(ExpNonPositive, IsWithinItsRelativeError) {
  double worst = 0;
  for (uint32_t bits = 0x80000000u; bits <= std::bit_cast<uint32_t>(-87.0f); bits += 61) {
    const float x = std::bit_cast<float>(bits);
    worst = std::max(worst, std::abs(double{ExpNonPositive(x)} / std::exp(double{x}) - 1));
  }
  RecordProperty("worst_relative_error", std::to_string(worst));
  EXPECT_LE(worst, 0x1p-19);
}

TEST(ExpNonPositive, HasExactEnds) {
  EXPECT_EQ(ExpNonPositive(0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(-0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(std::nextafter(-87.0f, -kInfinity)), 0.0f);
  EXPECT_EQ(ExpNonPositive(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(ExpNonPositive(kNan)));
}

TEST(SoftmaxRow, EqualsTheContractOnEverySetAndLength) {
  for (const int64_t count : {1, 2, 15, 16, 17, 31, 33, 197, 729}) {
    ExpectEqualToTheContract(RandomScores(count));
  }
}

TEST(SoftmaxRow, EqualsTheContractWithNanAndInfinityAnywhere) {
  for (const float special : {kNan, kInfinity, -kInfinity}) {
    for (const size_t place : {0, 1, 16, 36}) {
      std::vector<float> scores = RandomScores(37);
      scores[place] = special;
      ExpectEqualToTheContract(scores);
    }
  }
}

}  // namespace
}  // namespace w8a8
