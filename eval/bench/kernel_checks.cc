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

// Enough for two pairs of tiles and a rest on AMX, which below 16 takes none.
constexpr int64_t kExactRows = 49;
// Of those that are compared with sums in binary64.
constexpr int64_t kFloatRows = 5;

// Made rows as StepCase fills slot 0 with them.
double MadeValue(int64_t index) {
  return ToFloat(ToHalf(HashUniform(10, static_cast<uint64_t>(index))));
}

void CheckClose(double actual, double expected, double magnitudes, double part) {
  W8A8_CHECK(std::abs(actual - expected) <=
             0x1p-11 * std::abs(expected) + part * magnitudes + 0x1p-24);
}

bool SameRows(MatView<const Half> actual, MatView<const Half> expected) {
  for (int64_t row = 0; row < expected.rows; ++row) {
    if (!std::ranges::equal(actual.row_span(row), expected.row_span(row))) return false;
  }
  return actual.rows == expected.rows;
}

// `actual` are rows of made values times `weight` [n, k].
void CheckProduct(MatView<const Half> actual, const std::vector<float>& weight,
                  const QuantizedLinear& layer) {
  const int64_t n = layer.weight.n, k = layer.weight.k;
  for (int64_t row = 0; row < actual.rows; ++row) {
    for (int64_t col = row; col < n; col += 7) {
      double sum = layer.bias[static_cast<size_t>(col)], magnitudes = std::abs(sum);
      for (int64_t i = 0; i < k; ++i) {
        const double term = MadeValue(row * k + i) * weight[static_cast<size_t>(col * k + i)];
        sum += term;
        magnitudes += std::abs(term);
      }
      CheckClose(ToFloat(actual.row(row)[col]), sum, magnitudes,
                 ErrorPartOf(AttentionPrecision::kFp32));
    }
  }
}

}  // namespace

double ErrorPartOf(AttentionPrecision precision) {
  switch (precision) {
    case AttentionPrecision::kFp32:
      return 0x1p-12;
    case AttentionPrecision::kBf16:
      return 0x1p-8;
    case AttentionPrecision::kInt8:
      return 0x1p-6;
  }
  return 0;
}

void CheckGemmS8(const Kernels& set, const QuantizedLinear& layer) {
  CpuBackend backend(set), scalar(All().back());
  StepCase actual = GemmS8Case(backend, layer, kExactRows);
  StepCase expected = GemmS8Case(scalar, layer, kExactRows);
  W8A8_CHECK(SameRows(actual.Output(), expected.Output()));
}

void CheckGemmF16(const Kernels& set, const QuantizedLinear& layer) {
  CpuBackend backend(set);
  StepCase actual = GemmF16Case(backend, layer, kFloatRows);
  CheckProduct(actual.Output(), Fp16Values(layer.name, layer.weight.RealValues()), layer);
}

void CheckGemmW8(const Kernels& set, const QuantizedLinear& layer) {
  CpuBackend backend(set);
  StepCase actual = GemmW8Case(backend, layer, kFloatRows);
  CheckProduct(actual.Output(), layer.weight.RealValues(), layer);
}

// Codes and their scales by a product that shows them.
void CheckRows(const Kernels& set, const RowOperation& operation, int64_t cols) {
  CpuBackend backend(set), scalar(All().back());
  StepCase actual = operation.make(backend, kExactRows, cols);
  StepCase expected = operation.make(scalar, kExactRows, cols);
  for (const SlotId slot : {kRowsIn, kRowsOut}) {
    W8A8_CHECK(SameRows(actual.Rows(slot), expected.Rows(slot)));
  }
  if (!operation.makes_codes) return;
  const QuantizedLinear layer = MadeLayer({.where = "codes", .m = kExactRows, .n = 1, .k = cols});
  const auto codes_of = [&](StepCase& rows, Backend& packer) {
    return rows.Trace(
        {.codes = kRowsCodes, .out = kRowsProduct, .weight = packer.PackInt8(layer, cols)});
  };
  const auto made = codes_of(actual, backend), wanted = codes_of(expected, scalar);
  for (int64_t row = 0; row < kExactRows; ++row) {
    W8A8_CHECK(
        std::ranges::equal(made->codes.view().row_span(row), wanted->codes.view().row_span(row)));
  }
  W8A8_CHECK(made->input_scale.values == wanted->input_scale.values);
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
                 ErrorPartOf(precision));
    }
  }
}

}  // namespace w8a8
