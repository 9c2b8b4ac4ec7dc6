// Results before times: a fast kernel that is wrong is no kernel.
#include <algorithm>
#include <cmath>
#include <vector>

#include "eval/bench/kernel_bench.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/prepare.h"

namespace w8a8 {
namespace {

constexpr int64_t kRows = 5;

// Made rows as StepCase fills slot 0 with them.
double MadeValue(int64_t index) {
  return ToFloat(ToHalf(HashUniform(10, static_cast<uint64_t>(index))));
}

// Half a unit of FP16, and a part of the sum of magnitudes. For binary32 that is 2^-12, which sums
// of any order of some thousand terms stay below (2^-24 * K is their worst case).
constexpr double kPartOfFp32 = 0x1p-12;
void CheckClose(double actual, double expected, double magnitudes, double part = kPartOfFp32) {
  W8A8_CHECK(std::abs(actual - expected) <=
             0x1p-11 * std::abs(expected) + part * magnitudes + 0x1p-24);
}

// What operands of 8 bits of mantissa, or codes of 127 steps, may make of values in [-1, 1) under
// weights that sum to 1: far less than a wrong index does.
double PartOf(AttentionPrecision precision) {
  switch (precision) {
    case AttentionPrecision::kFp32:
      return kPartOfFp32;
    case AttentionPrecision::kBf16:
      return 0x1p-8;
    case AttentionPrecision::kInt8:
      return 0x1p-6;
  }
  return 0;
}

}  // namespace

void CheckGemmS8(const Kernels& set, const QuantizedLinear& layer) {
  CpuBackend backend(set), scalar(All().back());
  StepCase actual = GemmS8Case(backend, layer, kRows);
  StepCase expected = GemmS8Case(scalar, layer, kRows);
  const int64_t count = kRows * layer.weight.n;
  W8A8_CHECK(
      std::equal(actual.Output().data, actual.Output().data + count, expected.Output().data));
}

void CheckGemmF16(const Kernels& set, const QuantizedLinear& layer) {
  CpuBackend backend(set);
  StepCase actual = GemmF16Case(backend, layer, kRows);
  const std::vector<float> weight = Fp16Values(layer.name, layer.weight.RealValues());
  const int64_t n = layer.weight.n, k = layer.weight.k;
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t col = row; col < n; col += 7) {
      double sum = layer.bias[static_cast<size_t>(col)], magnitudes = std::abs(sum);
      for (int64_t i = 0; i < k; ++i) {
        const double term = MadeValue(row * k + i) * weight[static_cast<size_t>(col * k + i)];
        sum += term;
        magnitudes += std::abs(term);
      }
      CheckClose(ToFloat(actual.Output().row(row)[col]), sum, magnitudes);
    }
  }
}

void CheckAttention(const Kernels& set, const AttentionShape& shape, AttentionPrecision precision) {
  CpuBackend backend(set);
  StepCase actual = AttentionCase(backend, shape, precision);
  const int64_t width = shape.heads * shape.head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const auto value = [&](int64_t token, int64_t col) { return MadeValue(token * 3 * width + col); };
  for (const int64_t query : {int64_t{0}, shape.tokens - 1}) {
    const int64_t first = (query % shape.heads) * shape.head_dim;
    std::vector<double> weights(static_cast<size_t>(shape.tokens));
    double sum = 0;
    for (int64_t key = 0; key < shape.tokens; ++key) {
      double score = 0;
      for (int64_t i = first; i < first + shape.head_dim; ++i) {
        score += value(query, i) * value(key, width + i);
      }
      sum += weights[static_cast<size_t>(key)] = std::exp(score * scale);
    }
    for (int64_t i = first; i < first + shape.head_dim; ++i) {
      double expected = 0;
      for (int64_t key = 0; key < shape.tokens; ++key) {
        expected += weights[static_cast<size_t>(key)] / sum * value(key, 2 * width + i);
      }
      CheckClose(ToFloat(actual.Output().row(query)[i]), expected, /*magnitudes=*/1.0,
                 PartOf(precision));
    }
  }
}

}  // namespace w8a8
