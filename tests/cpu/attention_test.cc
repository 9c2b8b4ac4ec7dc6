#include "runtime/cpu/attention.h"

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/plain_attention.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using Case = AttentionCase;
using Operands = AttentionOperands;

std::vector<Half> RunAttention(const AttentionKernel& kernel, const Case& c,
                               const Operands& operands, std::span<const uint8_t> key_mask = {},
                               MatView<float> probabilities = {}) {
  const int64_t width = c.heads * c.head_dim;
  std::vector<Half> out(static_cast<size_t>(c.queries * width));
  AttentionScratch scratch;
  w8a8::RunAttention(kernel,
                     {.q = {operands.q.data(), c.queries, width, width},
                      .k = {operands.k.data(), c.keys, width, width},
                      .v = {operands.v.data(), c.keys, width, width},
                      .out = {out.data(), c.queries, width, width},
                      .heads = c.heads,
                      .head_dim = c.head_dim,
                      .key_mask = key_mask,
                      .probabilities = probabilities},
                     &scratch);
  return out;
}

// Every set's kernels for operands of FP16 and of BF16 values.
struct FloatKernelOfSet {
  std::string name;
  const AttentionKernel* kernel;
  bool bfloat16;
};
std::vector<FloatKernelOfSet> FloatKernelsUnderTest() {
  std::vector<FloatKernelOfSet> kernels;
  for (const Kernels& set : SetsUnderTest()) {
    for (const bool bfloat16 : {false, true}) {
      const AttentionKernel* kernel = set.floats->attention[bfloat16 ? 1 : 0];
      kernels.push_back({fmt::format("{}, {}", set.name, kernel->name), kernel, bfloat16});
    }
  }
  return kernels;
}

// Head dimensions of the families, odd numbers of keys, one query, one key; queries and keys enough
// for several tiles.
const std::vector<Case> kCases = {
    {50, 50, 2, 64, 1.0f}, {1, 196, 3, 64, 2.0f}, {30, 30, 2, 72, 8.0f},  {25, 33, 1, 80, 1.0f},
    {13, 47, 2, 88, 1.0f}, {7, 64, 1, 96, 1.0f},  {9, 31, 1, 128, 1.0f},  {16, 33, 1, 8, 1.0f},
    {3, 17, 2, 7, 1.0f},   {1, 1, 1, 4, 1.0f},    {70, 100, 1, 65, 1.0f}, {2, 729, 1, 72, 1.0f}};

TEST(Attention, OfFp16OperandsIsAtMostTwiceAsWrongAsThePlainLoop) {
  for (const FloatKernelOfSet& set : FloatKernelsUnderTest()) {
    if (set.bfloat16) continue;
    for (const Case& c : kCases) {
      const Operands operands = RandomOperands(c);
      EXPECT_EQ(TwiceNaive(PlainAttention<double>(c, operands), NaiveAttention(c, operands),
                           Floats(RunAttention(*set.kernel, c, operands))),
                "")
          << set.name << ": " << Text(c);
    }
  }
}

// The scalar set's kernel is the plain loop with BF16 operands.
TEST(Attention, OfBf16OperandsIsAtMostTwiceAsWrongAsThePlainLoopWithThem) {
  const AttentionKernel& plain = *ScalarSet().floats->attention[1];
  for (const FloatKernelOfSet& set : FloatKernelsUnderTest()) {
    if (!set.bfloat16) continue;
    for (const Case& c : kCases) {
      const Operands operands = RandomOperands(c);
      EXPECT_EQ(
          TwiceNaive(PlainAttention<double>(c, operands), Floats(RunAttention(plain, c, operands)),
                     Floats(RunAttention(*set.kernel, c, operands))),
          "")
          << set.name << ": " << Text(c);
    }
  }
}

// Those of BF16 operands as above. Who asks for them gets the outputs of who does not.
TEST(Attention, WritesItsProbabilitiesWhereTheyAreAskedFor) {
  const AttentionKernel& bf16 = *ScalarSet().floats->attention[1];
  for (const Case& c : kCases) {
    const Operands operands = RandomOperands(c);
    std::vector<uint8_t> mask(static_cast<size_t>(c.keys), 1);
    if (c.keys > 3) mask[2] = mask.back() = 0;
    std::vector<float> naive_bf16(static_cast<size_t>(c.heads * c.queries * c.keys));
    std::vector<float> p(naive_bf16.size());
    const auto view = [&c](std::vector<float>& to) {
      return MatView<float>{to.data(), c.heads * c.queries, c.keys, c.keys};
    };
    for (const std::span<const uint8_t> key_mask : {std::span<const uint8_t>(), {mask}}) {
      const std::vector<double> exact = PlainProbabilities<double>(c, operands, key_mask);
      const std::vector<float> naive = PlainProbabilities<float>(c, operands, key_mask);
      RunAttention(bf16, c, operands, key_mask, view(naive_bf16));
      for (const FloatKernelOfSet& set : FloatKernelsUnderTest()) {
        const std::vector<Half> out = RunAttention(*set.kernel, c, operands, key_mask, view(p));
        EXPECT_EQ(TwiceNaive(exact, set.bfloat16 ? naive_bf16 : naive, p), "")
            << set.name << ": " << Text(c);
        EXPECT_EQ(Equal(out, RunAttention(*set.kernel, c, operands, key_mask)), "")
            << set.name << ": " << Text(c);
      }
    }
  }
}

TEST(Attention, IsFarFromAnswersWithAWrongScale) {
  const Case c{20, 40, 2, 16, 4.0f};
  Operands operands = RandomOperands(c);
  const std::vector<double> exact = PlainAttention<double>(c, operands);
  const std::vector<float> naive = NaiveAttention(c, operands);
  for (Half& value : operands.q) value = ToHalf(ToFloat(value) * 1.01f);
  for (const FloatKernelOfSet& set : FloatKernelsUnderTest()) {
    if (set.bfloat16) continue;
    EXPECT_NE(TwiceNaive(exact, naive, Floats(RunAttention(*set.kernel, c, operands))), "")
        << set.name;
  }
}

// Codes and sums are integers and the exponential's bits are defined: every set gives the same.
TEST(Attention, WithInt8ProductsHasEqualBitsInEverySet) {
  const AttentionKernel& scalar = *ScalarSet().floats->attention[2];
  for (const Kernels& set : SetsUnderTest()) {
    for (const Case& c : kCases) {
      Operands operands = RandomOperands(c);
      operands.k[0] = ToHalf(std::numeric_limits<float>::infinity());
      operands.v.back() = ToHalf(std::numeric_limits<float>::quiet_NaN());
      std::vector<uint8_t> mask(static_cast<size_t>(c.keys), 1);
      if (c.keys > 3) mask[2] = mask.back() = 0;
      for (const std::span<const uint8_t> key_mask : {std::span<const uint8_t>(), {mask}}) {
        const auto scores = static_cast<size_t>(c.heads * c.queries * c.keys);
        std::vector<float> expected_p(scores), actual_p(scores);
        const auto view = [&](std::vector<float>& p) {
          return MatView<float>{p.data(), c.heads * c.queries, c.keys, c.keys};
        };
        const std::vector<Half> expected =
            RunAttention(scalar, c, operands, key_mask, view(expected_p));
        const std::vector<Half> actual =
            RunAttention(*set.floats->attention[2], c, operands, key_mask, view(actual_p));
        EXPECT_EQ(Equal(expected, actual), "") << set.name << ": " << Text(c);
        EXPECT_EQ(Equal(expected_p, actual_p), "") << set.name << ": " << Text(c);
      }
    }
  }
}

// Of random data about 1 % (cpu.md: 0.75 to 0.9 % on ViT shapes); it is an approximation of the
// same function, which a wrong scale or a forgotten mean would not be.
TEST(Attention, WithInt8ProductsIsTheSameFunction) {
  const Case c{60, 197, 2, 64, 1.0f};
  Operands operands = RandomOperands(c);
  const std::vector<double> exact = PlainAttention<double>(c, operands);
  const std::vector<Half> out = RunAttention(*ScalarSet().floats->attention[2], c, operands);
  const double error = RelativeL2(exact, Floats(out));
  EXPECT_GT(error, 1.0 / 512);
  EXPECT_LT(error, 1.0 / 32);
  // An offset that all keys share changes no weight: the mean takes it off before the codes.
  for (size_t i = 0; i < operands.k.size(); ++i) {
    operands.k[i] = ToHalf(ToFloat(operands.k[i]) + 8.0f);
  }
  const std::vector<double> shifted = PlainAttention<double>(c, operands);
  const std::vector<Half> of_shifted = RunAttention(*ScalarSet().floats->attention[2], c, operands);
  EXPECT_LT(RelativeL2(shifted, Floats(of_shifted)), 1.0 / 32);
}

TEST(Attention, SurvivesScoresThatWouldOverflowWithoutTheMaximum) {
  const Case c{4, 8, 1, 64, 300.0f};  // scores of some 10^5
  for (const Kernels& set : SetsUnderTest()) {
    for (const AttentionKernel* kernel : set.floats->attention) {
      for (const float value : Floats(RunAttention(*kernel, c, RandomOperands(c)))) {
        EXPECT_TRUE(std::isfinite(value)) << set.name << ", " << kernel->name;
      }
    }
  }
}

TEST(Attention, PassesANanOnToItsQueryOnly) {
  const Case c{3, 20, 1, 8, 1.0f};
  Operands operands = RandomOperands(c);
  operands.q[8] = ToHalf(std::numeric_limits<float>::quiet_NaN());  // query 1
  for (const FloatKernelOfSet& set : FloatKernelsUnderTest()) {
    const std::vector<Half> out = RunAttention(*set.kernel, c, operands);
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(IsNan(out[i]), i / 8 == 1) << set.name << i;
  }
}

// No query's bits depend on the queries beside it.
TEST(Attention, GivesAQueryTheSameBitsInAnyCompany) {
  const Case c{71, 45, 2, 40, 1.0f};
  const size_t width = 2 * 40;
  const Operands operands = RandomOperands(c);
  for (const Kernels& set : SetsUnderTest()) {
    for (const AttentionKernel* kernel : set.floats->attention) {
      const std::vector<Half> all = RunAttention(*kernel, c, operands);
      for (const size_t query : {0, 1, 11, 15, 16, 31, 32, 40, 70}) {
        Case one = c;
        one.queries = 1;
        Operands alone = operands;
        alone.q.assign(operands.q.begin() + static_cast<ptrdiff_t>(query * width),
                       operands.q.begin() + static_cast<ptrdiff_t>((query + 1) * width));
        EXPECT_EQ(
            Equal(RunAttention(*kernel, one, alone), std::span(all).subspan(query * width, width)),
            "")
            << set.name << ", " << kernel->name << ", query " << query;
      }
    }
  }
}

// Padding may hold anything.
TEST(Attention, TakesNothingFromKeysThatNobodyAttendsTo) {
  const Case c{14, 37, 2, 24, 1.0f}, fewer{14, 30, 2, 24, 1.0f};
  const Operands operands = RandomOperands(fewer);
  Operands padded = operands;
  padded.k.resize(static_cast<size_t>(37 * 48), ToHalf(std::numeric_limits<float>::quiet_NaN()));
  padded.v.resize(static_cast<size_t>(37 * 48), ToHalf(std::numeric_limits<float>::infinity()));
  std::vector<uint8_t> mask(30, 1);
  mask.resize(37, 0);
  for (const Kernels& set : SetsUnderTest()) {
    for (const AttentionKernel* kernel : set.floats->attention) {
      EXPECT_EQ(
          Equal(RunAttention(*kernel, fewer, operands), RunAttention(*kernel, c, padded, mask)), "")
          << set.name << ", " << kernel->name;
    }
  }
}

}  // namespace
}  // namespace w8a8::test
