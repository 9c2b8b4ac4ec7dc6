#include "runtime/cpu/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/kernels.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

struct Case {
  int64_t queries, keys, heads, head_dim;
  float amplitude;
};

struct Operands {
  std::vector<Half> q, k, v;
};

std::vector<Half> RandomHalves(int64_t count, uint64_t seed, float amplitude) {
  std::vector<Half> values;
  for (const float value : RandomFloats(count, seed, amplitude)) values.push_back(ToHalf(value));
  return values;
}

Operands RandomOperands(const Case& c) {
  const int64_t width = c.heads * c.head_dim;
  return {RandomHalves(c.queries * width, 1, c.amplitude),
          RandomHalves(c.keys * width, 2, c.amplitude), RandomHalves(c.keys * width, 3, 1.0f)};
}

// The textbook, in `Real`: every row of scores, its maximum, its exponentials, their weighted mean.
template <class Real>
std::vector<Real> PlainAttention(const Case& c, const Operands& operands) {
  const int64_t width = c.heads * c.head_dim;
  const auto at = [&](const std::vector<Half>& values, int64_t row, int64_t head, int64_t i) {
    return Real{ToFloat(values[static_cast<size_t>(row * width + head * c.head_dim + i)])};
  };
  std::vector<Real> out(static_cast<size_t>(c.queries * width));
  std::vector<Real> scores(static_cast<size_t>(c.keys));
  for (int64_t head = 0; head < c.heads; ++head) {
    for (int64_t query = 0; query < c.queries; ++query) {
      Real maximum = -std::numeric_limits<Real>::infinity();
      for (int64_t key = 0; key < c.keys; ++key) {
        Real score = 0;
        for (int64_t i = 0; i < c.head_dim; ++i) {
          score += at(operands.q, query, head, i) * at(operands.k, key, head, i);
        }
        score /= std::sqrt(static_cast<Real>(c.head_dim));
        scores[static_cast<size_t>(key)] = score;
        maximum = std::max(maximum, score);
      }
      Real sum = 0;
      for (Real& score : scores) sum += score = std::exp(score - maximum);
      for (int64_t i = 0; i < c.head_dim; ++i) {
        Real value = 0;
        for (int64_t key = 0; key < c.keys; ++key) {
          value += scores[static_cast<size_t>(key)] / sum * at(operands.v, key, head, i);
        }
        out[static_cast<size_t>(query * width + head * c.head_dim + i)] = value;
      }
    }
  }
  return out;
}

std::vector<Half> RunAttention(const Case& c, const Operands& operands) {
  const int64_t width = c.heads * c.head_dim;
  std::vector<Half> out(static_cast<size_t>(c.queries * width));
  FloatGemm gemm;
  Attention attention(*Select("").rows);
  attention.Run({.q = {operands.q.data(), c.queries, width, width},
                 .k = {operands.k.data(), c.keys, width, width},
                 .v = {operands.v.data(), c.keys, width, width},
                 .out = {out.data(), c.queries, width, width},
                 .heads = c.heads,
                 .head_dim = c.head_dim},
                &gemm);
  return out;
}

std::vector<float> Floats(const std::vector<Half>& values) {
  std::vector<float> floats;
  for (const Half value : values) floats.push_back(ToFloat(value));
  return floats;
}

TEST(Attention, IsAtMostTwiceAsWrongAsThePlainLoopWithTheSameRounding) {
  for (const Case& c :
       {Case{197, 197, 3, 64, 1.0f}, Case{1, 196, 12, 64, 2.0f}, Case{30, 30, 2, 72, 8.0f},
        Case{16, 33, 1, 8, 1.0f}, Case{1, 1, 1, 4, 1.0f}}) {
    const Operands operands = RandomOperands(c);
    std::vector<float> naive = PlainAttention<float>(c, operands);
    for (float& value : naive) value = RoundedToHalf(value);
    EXPECT_EQ(
        TwiceNaive(PlainAttention<double>(c, operands), naive, Floats(RunAttention(c, operands))),
        "")
        << c.queries << " queries, " << c.keys << " keys, " << c.heads << " x " << c.head_dim;
  }
}

TEST(Attention, IsFarFromAnswersWithAWrongScale) {
  const Case c{20, 40, 2, 16, 4.0f};
  Operands operands = RandomOperands(c);
  const std::vector<double> exact = PlainAttention<double>(c, operands);
  std::vector<float> naive = PlainAttention<float>(c, operands);
  for (float& value : naive) value = RoundedToHalf(value);
  for (Half& value : operands.q) value = ToHalf(ToFloat(value) * 1.01f);
  EXPECT_NE(TwiceNaive(exact, naive, Floats(RunAttention(c, operands))), "");
}

TEST(Attention, SurvivesScoresThatWouldOverflowWithoutTheMaximum) {
  const Case c{4, 8, 1, 64, 300.0f};  // scores of some 10^5
  for (const float value : Floats(RunAttention(c, RandomOperands(c)))) {
    EXPECT_TRUE(std::isfinite(value));
  }
}

TEST(Attention, PassesANanOnToItsQueryOnly) {
  const Case c{3, 20, 1, 8, 1.0f};
  Operands operands = RandomOperands(c);
  operands.q[8] = ToHalf(std::numeric_limits<float>::quiet_NaN());  // query 1
  const std::vector<Half> out = RunAttention(c, operands);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(IsNan(out[i]), i / 8 == 1) << i;
}

}  // namespace
}  // namespace w8a8::test
