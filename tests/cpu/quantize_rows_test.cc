// The quantizer of every kernel set against the reference quantizer.
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "runtime/cpu/int8_linear.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::Equal;
using test::RandomHalves;
using test::SetsUnderTest;
using test::Values;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Quantized {
  std::vector<int8_t> codes;
  std::vector<float> scale;
  std::vector<int32_t> code_sum;
  QuantizeCounts counts;
};

Quantized Expected(const std::vector<Half>& x, int64_t rows, const Quantizer& spec) {
  const size_t cols = x.size() / static_cast<size_t>(rows);
  const ReferenceRows reference = QuantizeRowsReference(test::View(x, rows), {.quantizer = spec});
  Quantized q{reference.codes, {}, {}, reference.counts};
  for (int64_t r = 0; r < rows; ++r) q.scale.push_back(reference.scales.At(r, 0).scale);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    const auto row = q.codes.begin() + static_cast<std::ptrdiff_t>(r * cols);
    q.code_sum.push_back(std::accumulate(row, row + static_cast<std::ptrdiff_t>(cols), 0));
  }
  return q;
}

Quantized QuantizeWith(const Int8Kernels& kernels, const std::vector<Half>& x, int64_t rows,
                       const Quantizer& spec) {
  const MatView<const Half> view = test::View(x, rows);
  Quantized q{std::vector<int8_t>(x.size()), {}, {}, {}};
  CodeRows code_rows;
  QuantizeRows(kernels, view, {.quantizer = spec}, &code_rows, &q.counts);
  q.code_sum.assign(code_rows.code_sum.data(), code_rows.code_sum.data() + rows);
  UnpackCodes(kernels, code_rows, {q.codes.data(), rows, view.cols, view.cols});
  q.scale.assign(code_rows.scale.data(), code_rows.scale.data() + rows);
  return q;
}

void ExpectEqual(const Quantized& expected, const Quantized& actual, std::string_view what) {
  EXPECT_EQ(Equal(expected.codes, actual.codes), "") << what;
  EXPECT_EQ(Equal(expected.scale, actual.scale), "") << what;
  EXPECT_EQ(Equal(expected.code_sum, actual.code_sum), "") << what;
  EXPECT_EQ(expected.counts.nan, actual.counts.nan) << what;
  EXPECT_EQ(expected.counts.inf, actual.counts.inf) << what;
  EXPECT_EQ(expected.counts.saturated, actual.counts.saturated) << what;
}

const Quantizer kSpecs[] = {
    {},
    {.clip_range = 1.5f},
    {.clip_range = 1e-40f},  // 127 / R is infinite: 0 * infinity is a NaN that no input holds
    {.granularity = Granularity::kTensor, .scale = 0.0078125f},
    {.granularity = Granularity::kTensor, .scale = 1e-6f}};

TEST(QuantizeRows, EqualsTheReferenceOnEverySet) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const int64_t cols : {1, 15, 16, 17, 63, 64, 65, 192, 257, 588, 4304}) {
      for (const Quantizer& spec : kSpecs) {
        const std::vector<Half> x = RandomHalves(5 * cols, 3, Values::kAny);
        ExpectEqual(Expected(x, 5, spec), QuantizeWith(*set.int8, x, 5, spec),
                    std::string(set.name) + " K " + std::to_string(cols));
      }
    }
  }
}

// Every FP16 pattern under scales that put midpoints, limits and subnormals everywhere.
TEST(QuantizeRows, EqualsTheReferenceOnEveryPattern) {
  std::vector<Half> patterns(65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) patterns[bits] = Half{static_cast<uint16_t>(bits)};
  for (const Kernels& set : SetsUnderTest()) {
    for (const float scale : {1.0f, 0.5f, 0.001f, 3.1e-5f, 516.0f, 1e-30f, 1e30f}) {
      const Quantizer spec{.granularity = Granularity::kTensor, .scale = scale};
      ExpectEqual(Expected(patterns, 1, spec), QuantizeWith(*set.int8, patterns, 1, spec),
                  set.name);
    }
  }
}

TEST(QuantizeRows, TheCodesDoNotDependOnWhatElseIsWanted) {
  const std::vector<Half> x = RandomHalves(5 * 100, 4, Values::kAny);
  for (const Kernels& set : SetsUnderTest()) {
    CodeRows rows;
    QuantizeRows(*set.int8, test::View(x, 5), {}, &rows);
    std::vector<int8_t> codes(x.size());
    UnpackCodes(*set.int8, rows, {codes.data(), 5, 100, 100});
    EXPECT_EQ(Equal(QuantizeWith(*set.int8, x, 5, {}).codes, codes), "") << set.name;
  }
}

TEST(QuantizeRows, GivesAZeroRowScaleZero) {
  for (const Kernels& set : SetsUnderTest()) {
    const std::vector<Half> x = {Half{0x8000}, Half{0}, ToHalf(kInfinity), ToHalf(std::nanf(""))};
    const Quantized q = QuantizeWith(*set.int8, x, 1, {});
    EXPECT_EQ(q.scale[0], 0.0f) << set.name;
    EXPECT_EQ(q.codes, std::vector<int8_t>(4, 0)) << set.name;
    EXPECT_EQ(q.counts.inf + q.counts.nan, 2u) << set.name;
  }
}

TEST(QuantizeRows, PadsRowsWithCodeZero) {
  for (const Kernels& set : SetsUnderTest()) {
    const std::vector<Half> x(70, ToHalf(kInfinity));  // padding as Inf * 0 would be NaN
    CodeRows rows;
    QuantizeRows(*set.int8, test::View(x, 1), {.quantizer = {.clip_range = 1e-40f}}, &rows);
    std::vector<int8_t> padded(static_cast<size_t>(rows.stride), 9);
    rows.cols = rows.stride;
    UnpackCodes(*set.int8, rows, {padded.data(), 1, rows.stride, rows.stride});
    for (size_t i = 70; i < padded.size(); ++i) ASSERT_EQ(padded[i], 0) << set.name << " at " << i;
  }
}

}  // namespace
}  // namespace w8a8
