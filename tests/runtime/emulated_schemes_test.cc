// The emulated step under every scheme of numerics.md section 6, against the formulas written out:
// integers in int64, the binary32 steps one by one, float products in binary64.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 7, kImages = 2, kRows = kTokens * kImages, kN = 9;
constexpr SlotId kIn = 0, kOut = 1;

struct Scheme {
  std::string name;
  int64_t k = 70;
  std::optional<Quantizer> input = Quantizer();
  int64_t weight_group = 0;  // 0: one scale per row
  int bits = 8;
  bool weight_zero_points = false;
  std::optional<Quantizer> output = {};
  std::optional<Rotation> rotation = {};
  bool first_row_twice = false;
};

Quantizer Groups(int64_t size) { return {.granularity = Granularity::kGroup, .group_size = size}; }
Quantizer Asymmetric(std::optional<int32_t> zero_point = {}) {
  Quantizer quantizer{.symmetric = false};
  if (!zero_point) return quantizer;
  quantizer.granularity = Granularity::kTensor;
  quantizer.scale = 0.07f;
  quantizer.zero_point = *zero_point;
  return quantizer;
}

std::vector<Scheme> Schemes() {
  return {{.name = "per-token"},
          {.name = "static", .input = Quantizer::Static(0.05f)},
          {.name = "several chunks", .k = 2500},
          {.name = "weights of 3 bits", .bits = 3},
          {.name = "weights in ragged groups", .weight_group = 32},
          {.name = "a group beyond a chunk", .k = 2500, .weight_group = 1500},
          {.name = "groups of one", .weight_group = 1, .bits = 4},
          {.name = "inputs in groups", .input = Groups(32)},
          {.name = "both, inputs finer", .input = Groups(16), .weight_group = 32},
          {.name = "both, weights finer", .input = Groups(48), .weight_group = 16},
          {.name = "zero points of rows", .input = Asymmetric()},
          {.name = "a zero point for all", .input = Asymmetric(-37)},
          {.name = "zero points of weights", .weight_zero_points = true},
          {.name = "all zero points, in groups",
           .k = 2500,
           .input = Asymmetric(),
           .weight_group = 1100,
           .bits = 4,
           .weight_zero_points = true},
          {.name = "an output quantizer", .output = Quantizer::Static(0.05f)},
          {.name = "a rotation", .k = 96, .rotation = Rotation{.block = 32, .mix = true}},
          {.name = "the first row twice", .first_row_twice = true},
          {.name = "the first row twice, static",
           .input = Quantizer::Static(0.02f),
           .first_row_twice = true}};
}

// Codes of every value that the bits have, the lowest too, so that an overflow would show.
QuantizedLinear LayerOf(const Scheme& scheme) {
  QuantizedLinear layer{
      .name = "layer", .weight = {.n = kN, .k = scheme.k, .bits = scheme.bits}, .bias = {}};
  WeightCodes& weight = layer.weight;
  if (scheme.weight_group > 0) {
    weight.scale = {.granularity = Granularity::kGroup, .group_size = scheme.weight_group};
  }
  const float lowest = -static_cast<float>(MaxCode(scheme.bits)) - 1;
  const auto code = [lowest](uint64_t seed, uint64_t i) {
    return static_cast<int8_t>(std::floor(-lowest * HashUniform(seed, i)));
  };
  for (int64_t i = 0; i < kN * scheme.k; ++i) {
    weight.codes.push_back(code(21, static_cast<uint64_t>(i)));
  }
  weight.codes.front() = static_cast<int8_t>(lowest);
  for (int64_t i = 0; i < kN * weight.groups(); ++i) {
    weight.scale.values.push_back(0.01f + 0.005f * HashUniform(22, static_cast<uint64_t>(i)));
    if (scheme.weight_zero_points) {
      weight.zero_points.push_back(code(23, static_cast<uint64_t>(i)));
    }
  }
  layer.bias = RandomFloats(kN, 24);
  layer.Finish();
  return layer;
}

int64_t GroupOf(const Scheme& scheme) {
  return ProductGroup({.input = scheme.input, .weight = LayerOf(scheme).weight.Spec()}, scheme.k);
}

struct Ran {
  std::vector<float> x;  // what the quantizer saw, or the float product took
  std::vector<Half> y;
  std::shared_ptr<const LinearTrace> trace;
};

Ran RunScheme(const Scheme& scheme, const QuantizedLinear& layer, int64_t first_image = 0,
              int64_t images = kImages, const Wanted& wanted = {.trace = true}) {
  CpuBackend backend(Select(""));
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(kTokens, scheme.k), HalfSlot(kTokens, kN)}, {.images = images});
  FillSlot(arena, kIn, 25, first_image, 6.0f);
  TransformPtr transform;
  if (scheme.rotation) {
    transform = std::make_shared<InputTransform>(InputTransform{.rotation = scheme.rotation});
  }
  const StepResult result =
      arena.Run(GemmCodesStep{.in = kIn,
                              .out = kOut,
                              .input = {.quantizer = scheme.input,
                                        .transform = transform,
                                        .first_row_twice = scheme.first_row_twice},
                              .weight = backend.PackEmulated(layer, GroupOf(scheme)),
                              .output = scheme.output},
                wanted);
  std::vector<float> x = CopyFloats(arena.HostHalf(kIn));
  if (transform && result.trace) x = Copy(result.trace->transformed.view());
  return {x, Copy(arena.HostHalf(kOut)), result.trace};
}

// sum over the group of (code_x - z)(code_w - zp), z and zp 0 where there are none.
std::vector<int32_t> ExactProducts(const Scheme& scheme, const QuantizedLinear& layer,
                                   const LinearTrace& trace) {
  const std::vector<int8_t> codes = Copy(trace.codes.view());
  const int64_t group = GroupOf(scheme), rows = trace.codes.view().rows;
  std::vector<int32_t> acc;
  for (int64_t first = 0; first < scheme.k; first += group) {
    for (int64_t m = 0; m < rows; ++m) {
      const int32_t z = m < kRows ? trace.input_scale.At(m, first).zero_point : 0;
      for (int64_t n = 0; n < kN; ++n) {
        int64_t sum = 0;
        for (int64_t k = first; k < std::min(first + group, scheme.k); ++k) {
          const int64_t w = layer.weight.codes[static_cast<size_t>(n * scheme.k + k)];
          const int64_t zp = layer.weight.ZeroPointOf(n, k / layer.weight.group());
          sum += (codes[static_cast<size_t>(m * scheme.k + k)] - z) * (w - zp);
        }
        acc.push_back(static_cast<int32_t>(sum));
      }
    }
  }
  return acc;
}

// Section 6's dequantization of one output, before it is rounded to FP16.
float Dequantized(const Scheme& scheme, const QuantizedLinear& layer, const LinearTrace& trace,
                  int64_t m, int64_t n) {
  const RowScales& scales = trace.input_scale;
  const int64_t group = GroupOf(scheme), rows = trace.codes.view().rows;
  const bool weights = layer.weight.groups() > 1, inputs = scales.groups > 1;
  const std::vector<int32_t> acc = Copy(trace.acc.view());
  const float bias = layer.bias[static_cast<size_t>(n)];
  const auto product = [&](int64_t g, int64_t row) {
    return static_cast<float>(acc[static_cast<size_t>((g * rows + row) * kN + n)]);
  };
  if (!weights && !inputs) {
    const float w = layer.weight.ScaleOf(n, 0);
    const float y = std::fma(product(0, m) * w, scales.At(m, 0).scale, bias);
    if (!scheme.first_row_twice || m % kTokens != 0) return y;
    return std::fma(product(0, kRows + m / kTokens) * w,
                    scales.second_values[static_cast<size_t>(m / kTokens)], y);
  }
  float t = 0.0f;
  for (int64_t g = 0; g * group < scheme.k; ++g) {
    const float w = layer.weight.ScaleOf(n, g * group / layer.weight.group());
    const float x = scales.At(m, g * group).scale;
    if (weights && inputs) t = std::fma(product(g, m) * x, w, t);
    if (weights && !inputs) t = std::fma(product(g, m), w, t);
    if (!weights) t = std::fma(product(g, m), x, t);
  }
  if (weights && inputs) return t + bias;
  return weights ? std::fma(t, scales.At(m, 0).scale, bias)
                 : std::fma(t, layer.weight.ScaleOf(n, 0), bias);
}

TEST(EmulatedSchemes, AreTheFormulasOfSection6InEveryBit) {
  for (const Scheme& scheme : Schemes()) {
    const QuantizedLinear layer = LayerOf(scheme);
    const Ran ran = RunScheme(scheme, layer);
    const LinearTrace& trace = *ran.trace;
    EXPECT_EQ(Equal(ExactProducts(scheme, layer, trace), Copy(trace.acc.view())), "")
        << scheme.name;
    std::vector<Half> expected;
    std::vector<int8_t> output_codes;
    for (int64_t m = 0; m < kRows; ++m) {
      for (int64_t n = 0; n < kN; ++n) {
        expected.push_back(ToHalf(Dequantized(scheme, layer, trace, m, n)));
        if (!scheme.output) continue;
        const float scale = scheme.output->scale;
        const float p = ToFloat(expected.back()) * (1.0f / scale);
        const float q = std::nearbyint(std::clamp(p, -127.0f, 127.0f));
        output_codes.push_back(static_cast<int8_t>(q));
        expected.back() = ToHalf(q * scale + 0.0f);
      }
    }
    EXPECT_EQ(Equal(expected, ran.y), "") << scheme.name;
    EXPECT_EQ(Equal(output_codes, Copy(trace.output_codes.view())), "") << scheme.name;
    EXPECT_EQ(trace.weight_code_sum, layer.weight.code_sum) << scheme.name;
  }
}

// Codes and scales are those of the rows: what they stand for is half a step from x at most.
TEST(EmulatedSchemes, CodesStandForWhatTheQuantizerSaw) {
  for (const Scheme& scheme : Schemes()) {
    if (scheme.input->is_static()) continue;
    const Ran ran = RunScheme(scheme, LayerOf(scheme));
    const std::vector<int8_t> codes = Copy(ran.trace->codes.view());
    for (int64_t i = 0; i < kRows * scheme.k; ++i) {
      const ActivationScale scale = ran.trace->input_scale.At(i / scheme.k, i % scheme.k);
      const double real = double{scale.scale} * (codes[static_cast<size_t>(i)] - scale.zero_point);
      ASSERT_NEAR(real, ran.x[static_cast<size_t>(i)],
                  double{scale.scale} * 0.5 + DotBound(3, 127, scale.scale))
          << scheme.name << " " << i;
    }
  }
}

TEST(EmulatedSchemes, TheSecondCodesHoldWhatTheFirstLeft) {
  for (const Scheme& scheme : Schemes()) {
    if (!scheme.first_row_twice) continue;
    const Ran ran = RunScheme(scheme, LayerOf(scheme));
    const RowScales& scales = ran.trace->input_scale;
    const std::vector<int8_t> codes = Copy(ran.trace->codes.view());
    ASSERT_EQ(scales.second_values.size(), static_cast<size_t>(kImages));
    for (int64_t image = 0; image < kImages; ++image) {
      const int64_t row = image * kTokens * scheme.k, second = (kRows + image) * scheme.k;
      const float scale = scales.At(image * kTokens, 0).scale;
      const float second_scale = scales.second_values[static_cast<size_t>(image)];
      float amax = 0.0f;
      for (int64_t k = 0; k < scheme.k; ++k) {
        const float rest = ran.x[static_cast<size_t>(row + k)] -
                           static_cast<float>(codes[static_cast<size_t>(row + k)]) * scale;
        amax = std::max(amax, std::abs(rest));
        const float code = codes[static_cast<size_t>(second + k)];
        EXPECT_NEAR(code * second_scale, rest,
                    double{second_scale} * 0.5 + DotBound(3, 127, second_scale))
            << scheme.name;
      }
      EXPECT_EQ(second_scale, amax / 127.0f) << scheme.name;
    }
  }
}

TEST(EmulatedSchemes, DoNotDependOnTheBatchOrOnWhoAsks) {
  std::vector<Scheme> schemes = Schemes();
  schemes.push_back({.name = "weight-only", .input = {}, .weight_group = 32});
  for (const Scheme& scheme : schemes) {
    const QuantizedLinear layer = LayerOf(scheme);
    const std::vector<Half> both = RunScheme(scheme, layer).y;
    std::vector<Half> alone;
    for (int64_t image = 0; image < kImages; ++image) {
      const std::vector<Half> y = RunScheme(scheme, layer, image, 1, {}).y;
      alone.insert(alone.end(), y.begin(), y.end());
    }
    EXPECT_EQ(Equal(both, alone), "") << scheme.name;
  }
}

TEST(EmulatedWeightOnly, IsAtMostTwiceAsWrongAsThePlainLoop) {
  const std::vector<Scheme> schemes = {
      {.name = "W8A16", .input = {}},
      {.name = "W4A16 in groups", .k = 2500, .input = {}, .weight_group = 1100, .bits = 4},
      {.name = "zero points", .input = {}, .weight_group = 32, .weight_zero_points = true},
      {.name = "rotated", .k = 96, .input = {}, .rotation = Rotation{.block = 32, .mix = true}}};
  for (const Scheme& scheme : schemes) {
    const QuantizedLinear layer = LayerOf(scheme);
    const Ran ran = RunScheme(scheme, layer);
    std::vector<double> exact;
    std::vector<float> naive;
    for (int64_t m = 0; m < kRows; ++m) {
      for (int64_t n = 0; n < kN; ++n) {
        double sum = layer.bias[static_cast<size_t>(n)];
        float plain = 0.0f;
        for (int64_t k = 0; k < scheme.k; ++k) {
          float x = ran.x[static_cast<size_t>(m * scheme.k + k)];
          if (scheme.rotation) x = RoundedToHalf(x);
          const int64_t g = k / layer.weight.group();
          const auto code =
              static_cast<float>(layer.weight.codes[static_cast<size_t>(n * scheme.k + k)] -
                                 layer.weight.ZeroPointOf(n, g));
          sum += double{x} * double{code} * double{layer.weight.ScaleOf(n, g)};
          plain += x * (code * layer.weight.ScaleOf(n, g));
        }
        exact.push_back(sum);
        naive.push_back(RoundedToHalf(plain + layer.bias[static_cast<size_t>(n)]));
      }
    }
    std::vector<float> actual(ran.y.size());
    ToFloat(ran.y, actual);
    EXPECT_EQ(TwiceNaive(exact, naive, actual), "") << scheme.name;
    EXPECT_EQ(ran.trace->codes.view().rows, 0) << scheme.name;
    EXPECT_EQ(ran.trace->acc.view().rows, 0) << scheme.name;
  }
}

}  // namespace
}  // namespace w8a8::test
