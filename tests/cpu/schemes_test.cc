// Every scheme of numerics.md section 6 on every kernel set, step by step, against its formulas one
// element after the other: codes, scales, accumulators, outputs and what is counted, in every bit.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/random_schemes.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr SlotId kIn = 0, kOut = 1, kCodes = 2;

struct Outcome {
  std::vector<Half> y;
  std::shared_ptr<const LinearTrace> trace;
};

std::vector<Slot> SlotsOf(const Scheme& scheme) {
  return {HalfSlot(scheme.tokens, scheme.k()), HalfSlot(scheme.tokens, scheme.n()),
          CodesSlot(scheme.tokens, scheme.k())};
}

StepResult RunSteps(const Scheme& scheme, const PackedPtr& weight, const Wanted& wanted,
                    CpuArena& arena) {
  const auto transform = std::make_shared<InputTransform>(scheme.transform);
  const TransformPtr shared = scheme.transform.empty() ? nullptr : transform;
  if (!scheme.plan.input) {
    return arena.Run(GemmW8Step{.in = kIn,
                                .out = kOut,
                                .transform = shared,
                                .weight = weight,
                                .output = scheme.plan.output},
                     wanted);
  }
  arena.Run(QuantizeStep{.in = kIn,
                         .codes = {.slot = kCodes,
                                   .input = {.quantizer = scheme.plan.input,
                                             .transform = shared,
                                             .first_row_twice = scheme.plan.first_row_twice},
                                   .group = scheme.group()}},
            wanted);
  return arena.Run(
      GemmS8Step{.codes = kCodes, .out = kOut, .weight = weight, .output = scheme.plan.output},
      wanted);
}

Outcome RunScheme(const Kernels& kernels, const Scheme& scheme) {
  CpuBackend backend(kernels);
  CpuArena arena(kernels);
  arena.Prepare(SlotsOf(scheme), {.images = scheme.images});
  arena.Upload(kIn, 0, std::as_bytes(std::span(scheme.x)));
  const PackedPtr weight = backend.PackInt8(scheme.linear, scheme.group());
  const StepResult result = RunSteps(scheme, weight, {.trace = true}, arena);
  return {Copy(arena.HostHalf(kOut)), result.trace};
}

// ---- the formulas ----

// Scales, zero points and codes of one output, as the formulas name them.
struct Operands {
  const Scheme& scheme;
  const ReferenceRows& rows;
  int64_t groups() const { return (scheme.k() + scheme.group() - 1) / scheme.group(); }
  int64_t begin(int64_t g) const { return g * scheme.group(); }
  int64_t end(int64_t g) const { return std::min(begin(g) + scheme.group(), scheme.k()); }
  int64_t weight_group(int64_t k) const { return k / scheme.linear.weight.group(); }

  // sum over k in g of (code_x - z) * (code_w - zp)
  int64_t Acc(int64_t row, int64_t n, int64_t g) const {
    const WeightCodes& weight = scheme.linear.weight;
    const int64_t of = row < scheme.rows() ? row : 0;  // second codes are symmetric
    int64_t acc = 0;
    for (int64_t k = begin(g); k < end(g); ++k) {
      const int64_t x = rows.codes[static_cast<size_t>(row * scheme.k() + k)] -
                        (row < scheme.rows() ? rows.scales.At(of, k).zero_point : 0);
      acc += x * (weight.row(n)[static_cast<size_t>(k)] - weight.ZeroPointOf(n, weight_group(k)));
    }
    return acc;
  }
  float Bias(int64_t n) const {
    return scheme.linear.bias.empty() ? 0.0f : scheme.linear.bias[static_cast<size_t>(n)];
  }
  float Value(int64_t row, int64_t n) const {
    const bool inputs = scheme.plan.input->granularity == Granularity::kGroup;
    const bool weights = scheme.plan.weight->granularity == Granularity::kGroup;
    const WeightCodes& weight = scheme.linear.weight;
    float t = 0.0f;
    for (int64_t g = 0; g < groups(); ++g) {
      const auto acc = static_cast<float>(Acc(row, n, g));
      const float scale_x = rows.scales.At(row, begin(g)).scale;
      const float scale_w = weight.ScaleOf(n, weight_group(begin(g)));
      if (inputs && weights) t = std::fma(acc * scale_x, scale_w, t);
      if (inputs && !weights) t = std::fma(acc, scale_x, t);
      if (!inputs && weights) t = std::fma(acc, scale_w, t);
      if (!inputs && !weights) return Plain(row, n, acc * scale_w);
    }
    if (inputs && weights) return t + Bias(n);
    return std::fma(t, inputs ? weight.ScaleOf(n, 0) : rows.scales.At(row, 0).scale, Bias(n));
  }
  float Plain(int64_t row, int64_t n, float scaled) const {
    const float y = std::fma(scaled, rows.scales.At(row, 0).scale, Bias(n));
    if (!scheme.plan.first_row_twice || row % scheme.tokens != 0) return y;
    const int64_t image = row / scheme.tokens;
    const auto acc = static_cast<float>(Acc(scheme.rows() + image, n, 0));
    return std::fma(acc * scheme.linear.weight.ScaleOf(n, 0),
                    rows.scales.second_values[static_cast<size_t>(image)], y);
  }
  // x the rows of a weight-only product.
  float WeightOnly(int64_t row, int64_t n, const std::vector<float>& x) const {
    const WeightCodes& weight = scheme.linear.weight;
    float t = 0.0f;
    for (int64_t g = 0; g < groups(); ++g) {
      const int64_t wg = weight_group(begin(g));
      float acc = 0.0f;
      for (int64_t k = begin(g); k < end(g); ++k) {
        const int32_t code = weight.row(n)[static_cast<size_t>(k)] - weight.ZeroPointOf(n, wg);
        acc = std::fma(x[static_cast<size_t>(row * scheme.k() + k)], static_cast<float>(code), acc);
      }
      t = std::fma(acc, weight.ScaleOf(n, wg), t);
    }
    return t + Bias(n);
  }
};

// `value` as it is stored, through the output's codes where there are any.
void Store(const Scheme& scheme, float value, std::vector<int8_t>* codes, std::vector<Half>* stored,
           LinearTrace* trace) {
  Half y = ToHalf(value);
  if (scheme.plan.output) {
    const float scale = scheme.plan.output->scale;
    const float p = ToFloat(y) * (1.0f / scale);
    const float rounded = std::isnan(p) ? 0.0f : std::nearbyint(std::clamp(p, -127.0f, 127.0f));
    trace->output_saturated += std::isfinite(p) && std::abs(p) >= 127.5f ? 1 : 0;
    codes->push_back(static_cast<int8_t>(rounded));
    y = ToHalf(static_cast<float>(codes->back()) * scale);
  }
  stored->push_back(y);
}

template <class T>
Matrix<T> MatrixOf(const std::vector<T>& values, int64_t rows, int64_t cols) {
  Matrix<T> matrix(rows, cols);
  std::copy(values.begin(), values.end(), matrix.view().data);
  return matrix;
}

Outcome ExpectedInt8(const Scheme& scheme) {
  const ReferenceRows rows = QuantizeRowsReference(View(scheme.x, scheme.rows()), scheme.input());
  const Operands operands{scheme, rows};
  Outcome expected;
  const auto trace = std::make_shared<LinearTrace>();
  expected.trace = trace;
  std::vector<int8_t> output_codes;
  std::vector<int32_t> acc;
  for (int64_t r = 0; r < scheme.rows(); ++r) {
    for (int64_t n = 0; n < scheme.n(); ++n) {
      Store(scheme, operands.Value(r, n), &output_codes, &expected.y, trace.get());
    }
  }
  const auto all = static_cast<int64_t>(rows.codes.size()) / scheme.k();
  for (int64_t g = 0; g < operands.groups(); ++g) {
    for (int64_t r = 0; r < all; ++r) {
      for (int64_t n = 0; n < scheme.n(); ++n) {
        acc.push_back(static_cast<int32_t>(operands.Acc(r, n, g)));
      }
    }
  }
  trace->codes = MatrixOf(rows.codes, all, scheme.k());
  trace->acc = MatrixOf(acc, operands.groups() * all, scheme.n());
  if (scheme.plan.output) trace->output_codes = MatrixOf(output_codes, scheme.rows(), scheme.n());
  if (!scheme.transform.empty()) {
    trace->transformed = MatrixOf(rows.values, scheme.rows(), scheme.k());
  }
  trace->input_scale = rows.scales;
  trace->counts = rows.counts;
  trace->weight_code_sum = scheme.linear.weight.code_sum;
  return expected;
}

Outcome ExpectedWeightOnly(const Scheme& scheme) {
  std::vector<float> x(scheme.x.size());
  ToFloat(scheme.x, x);
  std::vector<float> transformed = x;
  const auto k = static_cast<size_t>(scheme.k());
  for (size_t first = 0; first < x.size() && !scheme.transform.empty(); first += k) {
    TransformRow(scheme.transform, std::span(transformed).subspan(first, k));
    for (size_t i = first; i < first + k; ++i) x[i] = RoundedToHalf(transformed[i]);
  }
  const ReferenceRows none;
  Outcome expected;
  const auto trace = std::make_shared<LinearTrace>();
  expected.trace = trace;
  std::vector<int8_t> output_codes;
  for (int64_t r = 0; r < scheme.rows(); ++r) {
    for (int64_t n = 0; n < scheme.n(); ++n) {
      Store(scheme, Operands{scheme, none}.WeightOnly(r, n, x), &output_codes, &expected.y,
            trace.get());
    }
  }
  if (scheme.plan.output) {
    trace->output_codes = MatrixOf(output_codes, scheme.rows(), scheme.n());
  }
  if (!scheme.transform.empty()) {
    trace->transformed = MatrixOf(transformed, scheme.rows(), scheme.k());
  }
  trace->weight_code_sum = scheme.linear.weight.code_sum;
  return expected;
}

void ExpectEqual(const Outcome& expected, const Outcome& actual, const std::string& where) {
  const LinearTrace &want = *expected.trace, &got = *actual.trace;
  EXPECT_EQ(Equal(Copy(want.codes.view()), Copy(got.codes.view())), "") << where << ": codes";
  EXPECT_EQ(Equal(want.input_scale.values, got.input_scale.values), "") << where << ": scales";
  EXPECT_EQ(Equal(want.input_scale.second_values, got.input_scale.second_values), "")
      << where << ": scales of the second codes";
  EXPECT_EQ(Equal(want.input_scale.zero_points, got.input_scale.zero_points), "")
      << where << ": zero points";
  EXPECT_EQ(want.input_scale.groups, got.input_scale.groups) << where;
  EXPECT_EQ(Equal(Copy(want.transformed.view()), Copy(got.transformed.view())), "")
      << where << ": transformed rows";
  EXPECT_EQ(Equal(Copy(want.acc.view()), Copy(got.acc.view())), "") << where << ": acc";
  EXPECT_EQ(Equal(Copy(want.output_codes.view()), Copy(got.output_codes.view())), "")
      << where << ": output codes";
  EXPECT_EQ(want.output_saturated, got.output_saturated) << where;
  EXPECT_EQ(want.counts.nan, got.counts.nan) << where;
  EXPECT_EQ(want.counts.inf, got.counts.inf) << where;
  EXPECT_EQ(want.counts.saturated, got.counts.saturated) << where;
  EXPECT_EQ(want.weight_code_sum, got.weight_code_sum) << where;
  EXPECT_EQ(Equal(expected.y, actual.y), "") << where << ": y";
}

TEST(Schemes, EqualTheFormulasOnEverySet) {
  for (const Scheme& scheme : RandomSchemes(/*weight_only=*/false)) {
    const Outcome expected = ExpectedInt8(scheme);
    for (const Kernels& set : SetsUnderTest()) {
      ExpectEqual(expected, RunScheme(set, scheme), std::string(set.name) + ": " + scheme.Text());
    }
  }
}

// k ascending from 0 in each group, so that no tile, block or batch can change a bit.
TEST(Schemes, WeightOnlyEqualsTheFormulasOnEverySet) {
  for (const Scheme& scheme : RandomSchemes(/*weight_only=*/true)) {
    const Outcome expected = ExpectedWeightOnly(scheme);
    for (const Kernels& set : SetsUnderTest()) {
      ExpectEqual(expected, RunScheme(set, scheme), std::string(set.name) + ": " + scheme.Text());
    }
  }
}

TEST(Schemes, AskingForTheTraceChangesNoBit) {
  for (const bool weight_only : {false, true}) {
    for (const Scheme& scheme : RandomSchemes(weight_only)) {
      const Kernels& kernels = SetsUnderTest().front();
      CpuBackend backend(kernels);
      CpuArena arena(kernels);
      arena.Prepare(SlotsOf(scheme), {.images = scheme.images});
      arena.Upload(kIn, 0, std::as_bytes(std::span(scheme.x)));
      RunSteps(scheme, backend.PackInt8(scheme.linear, scheme.group()), {}, arena);
      EXPECT_EQ(Equal(RunScheme(kernels, scheme).y, Copy(arena.HostHalf(kOut))), "")
          << scheme.Text();
    }
  }
}

TEST(Schemes, ABatchOfImagesEqualsItsImagesOneByOne) {
  for (const bool weight_only : {false, true}) {
    for (const Scheme& batch : RandomSchemes(weight_only)) {
      const Kernels& kernels = SetsUnderTest().front();
      const std::vector<Half> together = RunScheme(kernels, batch).y;
      std::vector<Half> apart;
      for (int64_t image = 0; image < batch.images; ++image) {
        Scheme one = batch;
        one.images = 1;
        const int64_t count = batch.tokens * batch.k();
        one.x.assign(batch.x.begin() + image * count, batch.x.begin() + (image + 1) * count);
        for (const Half y : RunScheme(kernels, one).y) apart.push_back(y);
      }
      EXPECT_EQ(Equal(together, apart), "") << batch.Text();
    }
  }
}

TEST(Schemes, TakeNoNewMemoryOnceTheLargestShapeWasSeen) {
  for (const bool weight_only : {false, true}) {
    for (const Scheme& scheme : RandomSchemes(weight_only)) {
      const Kernels& kernels = SetsUnderTest().front();
      CpuBackend backend(kernels);
      const PackedPtr weight = backend.PackInt8(scheme.linear, scheme.group());
      CpuArena arena(kernels);
      const auto bytes_with = [&](int64_t images) {
        arena.Prepare(SlotsOf(scheme), {.images = images});
        RunSteps(scheme, weight, {}, arena);
        return arena.bytes();
      };
      const int64_t largest = bytes_with(3);
      EXPECT_EQ(bytes_with(1), largest) << scheme.Text();
      EXPECT_EQ(bytes_with(3), largest) << scheme.Text();
    }
  }
}

bool Differ(const Outcome& a, const Outcome& b) {
  return Equal(a.y, b.y) != "" || Equal(Copy(a.trace->acc.view()), Copy(b.trace->acc.view())) != "";
}

// The proof must be able to fail: a changed number of those that are packed changes some output.
TEST(Schemes, AChangedNumberIsFound) {
  for (const bool weight_only : {false, true}) {
    for (Scheme scheme : RandomSchemes(weight_only)) {
      if (scheme.plan.output || !scheme.transform.empty()) continue;  // may round it away
      scheme.x.assign(scheme.x.size(), ToHalf(1.5f));
      const Kernels& kernels = SetsUnderTest().front();
      const Outcome outcome = RunScheme(kernels, scheme);
      Scheme code = scheme, zero_point = scheme, scale = scheme;
      int8_t& last = code.linear.weight.codes.back();
      const auto limit = static_cast<int8_t>(MaxCode(code.linear.weight.bits));
      last = last > 0 ? static_cast<int8_t>(-limit) : limit;
      FinishCodes("weight", code.linear.weight);
      EXPECT_TRUE(Differ(outcome, RunScheme(kernels, code))) << scheme.Text();
      scale.linear.weight.scale.values.back() *= 8.0f;
      EXPECT_TRUE(Differ(outcome, RunScheme(kernels, scale))) << scheme.Text();
      if (scheme.linear.weight.zero_points.empty()) continue;
      zero_point.linear.weight.zero_points.back() ^= 1;
      EXPECT_TRUE(Differ(outcome, RunScheme(kernels, zero_point))) << scheme.Text();
    }
  }
}

}  // namespace
}  // namespace w8a8::test
