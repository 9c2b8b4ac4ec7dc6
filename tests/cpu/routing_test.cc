// A router's logits on every kernel set, and from logits to experts and their weights.
#include "runtime/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "quant/exponential.h"
#include "runtime/base/counter_hash.h"
#include "runtime/encoder/graph.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/row_sums.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::CombineRowSums;
using test::Equal;
using test::RandomHalves;
using test::SetsUnderTest;
using test::Values;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

// numerics.md, "Row sums", of fma(x, w, s).
float RowProduct(std::span<const Half> x, std::span<const float> weight) {
  float s[256] = {};
  for (size_t k = 0; k < x.size(); ++k) s[k % 256] = std::fma(ToFloat(x[k]), weight[k], s[k % 256]);
  return CombineRowSums(s);
}

TEST(RowProducts, EqualTheContractOnEverySetAndWidth) {
  constexpr int64_t kExperts = 5;
  for (const int64_t cols : {1, 7, 8, 16, 17, 192, 255, 256, 257, 1152}) {
    for (const Values values : {Values::kFinite, Values::kAny}) {
      const std::vector<Half> x = RandomHalves(cols, 31, values);
      std::vector<float> weight;
      for (const Half value : RandomHalves(kExperts * cols, 32, Values::kFinite)) {
        weight.push_back(ToFloat(value));
      }
      std::vector<float> expected;
      for (int64_t e = 0; e < kExperts; ++e) {
        const auto first = static_cast<size_t>(e * cols);
        expected.push_back(
            RowProduct(x, std::span(weight).subspan(first, static_cast<size_t>(cols))));
      }
      for (const Kernels& set : SetsUnderTest()) {
        std::vector<float> actual(kExperts, kNan);
        set.rows->row_products({.x = x.data(),
                                .cols = cols,
                                .weight = weight.data(),
                                .count = kExperts,
                                .y = actual.data()});
        EXPECT_EQ(Equal(expected, actual), "") << set.name << ", " << cols << " inputs";
      }
    }
  }
}

std::vector<float> Choose(std::vector<float> logits, int64_t chosen, bool renormalized) {
  std::vector<float> weights(logits.size(), kNan);
  ChooseExperts(RoutingRow<>{.logits = {logits.data()},
                             .experts = static_cast<int64_t>(logits.size()),
                             .chosen = chosen,
                             .renormalized = renormalized,
                             .weights = {weights.data()}});
  return weights;
}

// moe.md section 4, 1 to 3, by sorting.
std::vector<float> ByDefinition(std::vector<float> logits, size_t chosen, bool renormalized) {
  for (float& l : logits) l = std::isnan(l) ? -kLargest : std::clamp(l, -kLargest, kLargest);
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<float> p;
  for (const float l : logits) p.push_back(ExpNonPositive(l - logits[order[0]]));
  const float z = std::accumulate(p.begin(), p.end(), 0.0f);
  order.resize(chosen);
  std::ranges::sort(order);
  float q = 0;
  for (const size_t e : order) q += p[e] / z;
  std::vector<float> weights(logits.size(), kNotRouted);
  for (const size_t e : order) weights[e] = renormalized ? p[e] / z / q : p[e] / z;
  return weights;
}

TEST(ChooseExperts, EqualsTheDefinitionOnRandomAndOnExtremeLogits) {
  const float special[] = {kNan, kInfinity, -kInfinity, 0.0f, -0.0f, 1.0f, kLargest, 3e38f, -90.0f};
  uint64_t draw = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto experts = static_cast<size_t>(1 + round % 9);
    const size_t chosen = 1 + static_cast<size_t>(round / 9) % experts;
    std::vector<float> logits;
    for (size_t e = 0; e < experts; ++e) {
      const float value = HashUniform(7, draw++);
      const auto which = static_cast<size_t>((value + 1) * 4.5f);
      logits.push_back(round % 2 == 0 ? 20.0f * value : special[which]);
    }
    for (const bool renormalized : {false, true}) {
      EXPECT_EQ(Equal(ByDefinition(logits, chosen, renormalized),
                      Choose(logits, static_cast<int64_t>(chosen), renormalized)),
                "")
          << "round " << round;
    }
  }
}

TEST(ChooseExperts, OfEqualLogitsTakesTheLowerExperts) {
  EXPECT_EQ(Choose({0, 0, 0, 0}, 2, false), (std::vector<float>{0.25f, 0.25f, -1, -1}));
  EXPECT_EQ(Choose({0, 0, 0, 0}, 2, true), (std::vector<float>{0.5f, 0.5f, -1, -1}));
  EXPECT_EQ(Choose({1, 5, 5, 5}, 1, true), (std::vector<float>{-1, 1, -1, -1}));
}

TEST(ChooseExperts, ChoosesAnExpertWhoseWeightVanishes) {
  EXPECT_EQ(Choose({100, 0, -5}, 2, true), (std::vector<float>{1, 0, -1}));
  EXPECT_EQ(Choose({kInfinity, -kInfinity, kNan}, 3, true), (std::vector<float>{1, 0, 0}));
}

TEST(ChooseExperts, CountsNanAsTheLeastLogit) {
  EXPECT_EQ(Choose({kNan, -100, kNan}, 1, true), (std::vector<float>{-1, 1, -1}));
  EXPECT_EQ(Choose({kNan, kNan}, 2, false), (std::vector<float>{0.5f, 0.5f}));
}

TEST(Sigmoid, HasItsEnds) {
  EXPECT_EQ(Sigmoid(0.0f), 0.5f);
  EXPECT_EQ(Sigmoid(kInfinity), 1.0f);
  EXPECT_EQ(Sigmoid(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(Sigmoid(kNan)));
  EXPECT_EQ(Sigmoid(3.0f), 1.0f / (1.0f + ExpNonPositive(-3.0f)));
  EXPECT_EQ(Sigmoid(-3.0f), ExpNonPositive(-3.0f) / (1.0f + ExpNonPositive(-3.0f)));
}

}  // namespace
}  // namespace w8a8
