// How cuda_bench takes cases that fail, die and hang; and what it multiplies.
#include "tests/cuda/bench_runs.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/cuda/bench_data.h"
#include "tests/cuda/bench_sample.h"

namespace w8a8::bench {
namespace {

void Measure(Figure& figure) {
  figure.value = 7;
  figure.unit = "GB/s";
}

TEST(BenchRuns, ACaseThatFailsDiesOrHangsCostsItsOwnFigure) {
  const std::vector<Case> cases = {
      {"first", Measure},
      {"throws", [](Figure&) { throw std::runtime_error("no such kernel"); }},
      {"second", Measure},
      {"dies", [](Figure&) { ::_exit(9); }},
      {"hangs",
       [](Figure&) {
         while (true) ::pause();
       }},
      {"third", Measure},
      {"lacks", [](Figure&) { throw Missing("another GPU"); }}};
  const std::vector<Figure> figures = RunCases(cases, 3, 120);
  ASSERT_EQ(figures.size(), cases.size());
  for (const size_t i : {size_t{0}, size_t{2}, size_t{5}}) {
    EXPECT_EQ(figures[i].problem, "");
    EXPECT_EQ(figures[i].value, 7);
    EXPECT_EQ(figures[i].name, cases[i].name);
  }
  EXPECT_EQ(figures[1].problem, "no such kernel");
  EXPECT_EQ(figures[3].problem, "the process ended with 9");
  EXPECT_EQ(figures[4].problem, "not done after 3 s");
  const std::string table = Table(figures);
  EXPECT_NE(table.find("NO FIGURE hangs: not done after 3 s"), std::string::npos) << table;
  EXPECT_LT(table.find("third"), table.find("NO FIGURE")) << table;
  EXPECT_EQ(figures[6].problem, "");
  EXPECT_NE(table.find("MISSING lacks: another GPU"), std::string::npos) << table;
  EXPECT_NE(table.find("us  (not checked)"), std::string::npos) << table;
}

TEST(BenchRuns, OfAKindThatHangsOneIsEnoughAndWhatThereIsIsKept) {
  const auto hang = [](Figure&) {
    while (true) ::pause();
  };
  std::vector<size_t> kept;
  const std::vector<Figure> figures = RunCases(
      {{"a: good", Measure},
       {"a: bad", hang},
       {"b: good", Measure},
       {"b: bad", hang},
       {"c", Measure}},
      1, 60, [&kept](const std::vector<Figure>& so_far) { kept.push_back(so_far.size()); });
  ASSERT_EQ(figures.size(), 5u);
  EXPECT_EQ(figures[1].problem, "not done after 1 s");
  EXPECT_EQ(figures[3].problem, "not begun: a: bad did not end");
  for (const size_t i : {0u, 2u, 4u}) EXPECT_EQ(figures[i].problem, "") << i;
  EXPECT_EQ(kept, (std::vector<size_t>{1, 2, 3, 5}));
}

TEST(BenchRuns, TheLargestProductsOfAllTowersComeFirst) {
  const std::vector<Shape> shapes = Shapes();
  for (size_t i = 1; i < shapes.size(); ++i) {
    EXPECT_TRUE(shapes[i - 1].m == kBatchRows || shapes[i].m < kBatchRows) << shapes[i].name;
  }
}

TEST(BenchRuns, WhatHasNotBegunInTimeIsNamed) {
  const std::vector<Figure> figures = RunCases({{"late", Measure}}, 1, 0);
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].problem, "not begun within 0 s");
}

TEST(BenchRuns, CodesAreBellShaped) {
  const std::vector<int8_t> codes = BellShaped<int8_t>(3'000'000, 1, Code);
  const double mean = std::accumulate(codes.begin(), codes.end(), 0.0) / 3e6;
  double squares = 0;
  for (const int8_t code : codes) squares += code * code;
  const double deviation = std::sqrt(squares / 3e6);
  EXPECT_LT(std::abs(mean), 1);
  EXPECT_GT(deviation, 28);
  EXPECT_LT(deviation, 32);
}

// E4M3: a sign, four bits of exponent (bias 7), three of mantissa.
double E4m3Value(uint8_t pattern) {
  const int exponent = pattern >> 3 & 15, mantissa = pattern & 7;
  const double size = std::ldexp(1 + mantissa / 8.0, exponent - 7);
  return pattern == 0 ? 0 : pattern & 0x80 ? -size : size;
}

TEST(BenchRuns, Fp8OperandsAreTheCodesInFourBits) {
  for (int code = -127; code <= 127; ++code) {
    EXPECT_EQ(E4m3Value(SignE4m3(code, 0)), Sign(code));
    EXPECT_EQ(SignCode(code, 0), Sign(code));
    EXPECT_EQ(ToFloat(Exact(code, 0)), ExactCode(code, 0));
    const double value = E4m3Value(PlainE4m3(code, 0)), wanted = code / 32.0;
    EXPECT_LE(std::abs(value), std::abs(wanted)) << code;
    EXPECT_GE(std::abs(value), std::abs(wanted) * 8 / 9) << code;
    EXPECT_EQ(std::signbit(value), std::signbit(wanted)) << code;
  }
}

// One output that is wrong is found in any row and in any column.
TEST(BenchRuns, SampledSumsSeeEveryRowAndEveryColumn) {
  constexpr int64_t kM = 37, kN = 21, kK = 50, kStride = 32;
  const std::vector<int8_t> x = BellShaped<int8_t>(kM * kK, 1, Code);
  const std::vector<int8_t> weight = BellShaped<int8_t>(kN * kK, 2, Code);
  std::vector<int64_t> y(kM * kStride);
  for (int64_t row = 0; row < kM; ++row) {
    for (int64_t col = 0; col < kN; ++col) {
      y[static_cast<size_t>(row * kStride + col)] = std::inner_product(
          &x[static_cast<size_t>(row * kK)], &x[static_cast<size_t>(row * kK)] + kK,
          &weight[static_cast<size_t>(col * kK)], int64_t{1});
    }
  }
  const SampledSums sums(x, weight, kM, kN, kK);
  const auto output = [](const SampledSums::Sum& sum) { return int64_t{sum.value} + 1; };
  EXPECT_EQ(sums.Differs(y, kStride, output), "");
  const auto found_where = [&](bool rows, int64_t i) {
    std::vector<int64_t> wrong = y;
    for (int64_t j = 0; j < (rows ? kN : kM); ++j) {
      ++wrong[static_cast<size_t>(rows ? i * kStride + j : j * kStride + i)];
    }
    return !sums.Differs(wrong, kStride, output).empty();
  };
  for (int64_t row = 0; row < kM; ++row) EXPECT_TRUE(found_where(true, row)) << row;
  for (int64_t col = 0; col < kN; ++col) EXPECT_TRUE(found_where(false, col)) << col;
}

// Every order of adding gives one binary32 sum where no sum can reach 2^24.
TEST(BenchRuns, CheckedFloatSumsAreExactInEveryOrder) {
  for (const Shape& shape : Shapes()) {
    const double most = 15.0 * 15.0 * static_cast<double>(shape.k);
    EXPECT_LT(most, 1 << 24) << shape.name;
  }
}

}  // namespace
}  // namespace w8a8::bench
