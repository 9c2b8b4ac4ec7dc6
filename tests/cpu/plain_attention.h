// Attention as in the textbook, of random operands: the oracle of every device's tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/half.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test {

struct AttentionCase {
  int64_t queries, keys, heads, head_dim;
  float amplitude;
};

struct AttentionOperands {
  std::vector<Half> q, k, v;  // [queries or keys, heads * head_dim]
};

inline std::string Text(const AttentionCase& c) {
  return fmt::format("{} queries, {} keys, {} x {}", c.queries, c.keys, c.heads, c.head_dim);
}

inline std::vector<Half> RandomHalves(int64_t count, uint64_t seed, float amplitude) {
  std::vector<Half> values;
  for (const float value : RandomFloats(count, seed, amplitude)) values.push_back(ToHalf(value));
  return values;
}

inline AttentionOperands RandomOperands(const AttentionCase& c, uint64_t seed = 0) {
  const int64_t width = c.heads * c.head_dim;
  return {RandomHalves(c.queries * width, seed + 1, c.amplitude),
          RandomHalves(c.keys * width, seed + 2, c.amplitude),
          RandomHalves(c.keys * width, seed + 3, 1.0f)};
}

// The textbook, in `Real`: every row of scores, its maximum, its exponentials over their sum;
// [heads * queries, keys]. `key_mask` [keys]: 0 where nobody attends; empty: all are attended.
template <class Real>
std::vector<Real> PlainProbabilities(const AttentionCase& c, const AttentionOperands& operands,
                                     std::span<const uint8_t> key_mask = {}) {
  const int64_t width = c.heads * c.head_dim;
  const auto at = [&](const std::vector<Half>& values, int64_t row, int64_t head, int64_t i) {
    return Real{ToFloat(values[static_cast<size_t>(row * width + head * c.head_dim + i)])};
  };
  constexpr Real kLeast = -std::numeric_limits<Real>::infinity();
  std::vector<Real> probabilities;
  std::vector<Real> scores(static_cast<size_t>(c.keys));
  for (int64_t head = 0; head < c.heads; ++head) {
    for (int64_t query = 0; query < c.queries; ++query) {
      Real maximum = kLeast;
      for (int64_t key = 0; key < c.keys; ++key) {
        Real score = 0;
        for (int64_t i = 0; i < c.head_dim; ++i) {
          score += at(operands.q, query, head, i) * at(operands.k, key, head, i);
        }
        score /= std::sqrt(static_cast<Real>(c.head_dim));
        const bool attended = key_mask.empty() || key_mask[static_cast<size_t>(key)] != 0;
        scores[static_cast<size_t>(key)] = attended ? score : kLeast;
        maximum = std::max(maximum, scores[static_cast<size_t>(key)]);
      }
      Real sum = 0;
      for (Real& score : scores) sum += score = std::exp(score - maximum);
      for (const Real score : scores) probabilities.push_back(score / sum);
    }
  }
  return probabilities;
}

// Their weighted mean of the values.
template <class Real>
std::vector<Real> PlainAttention(const AttentionCase& c, const AttentionOperands& operands) {
  const std::vector<Real> probabilities = PlainProbabilities<Real>(c, operands);
  const int64_t width = c.heads * c.head_dim;
  std::vector<Real> out(static_cast<size_t>(c.queries * width));
  const Real* row = probabilities.data();
  for (int64_t head = 0; head < c.heads; ++head) {
    for (int64_t query = 0; query < c.queries; ++query, row += c.keys) {
      for (int64_t i = head * c.head_dim; i < (head + 1) * c.head_dim; ++i) {
        Real value = 0;
        for (int64_t key = 0; key < c.keys; ++key) {
          value += row[key] * Real{ToFloat(operands.v[static_cast<size_t>(key * width + i)])};
        }
        out[static_cast<size_t>(query * width + i)] = value;
      }
    }
  }
  return out;
}

inline std::vector<float> Floats(const std::vector<Half>& values) {
  std::vector<float> floats;
  for (const Half value : values) floats.push_back(ToFloat(value));
  return floats;
}

// The textbook in binary32, rounded like every output.
inline std::vector<float> NaiveAttention(const AttentionCase& c,
                                         const AttentionOperands& operands) {
  std::vector<float> naive = PlainAttention<float>(c, operands);
  for (float& value : naive) value = ToFloat(ToHalf(value));
  return naive;
}

}  // namespace w8a8::test
