// The fake step and FP16 sites under the schemes of numerics.md section 6: operand, product and
// output, and what the trace keeps of them.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fake_quant.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/stage_weights.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 6, kImages = 2, kRows = kTokens * kImages, kN = 13, kK = 96;
constexpr SlotId kIn = 0, kOut = 1;

struct FakeScheme {
  std::string name;
  std::optional<Quantizer> input = Quantizer();
  FakeFlavour flavour = FakeFlavour::kIdeal;
  std::optional<Quantizer> output = {};
  bool rotated = false;
  bool first_row_twice = false;
};

std::vector<FakeScheme> FakeSchemes() {
  const Quantizer still = Quantizer::Static(0.04f), uncalibrated = Quantizer::Static(0.0f);
  const FakeFlavour vllm = FakeFlavour::kVllmStatic, bf16 = FakeFlavour::kVllmStaticBf16;
  return {
      {.name = "groups", .input = Quantizer{.granularity = Granularity::kGroup, .group_size = 20}},
      {.name = "zero points", .input = Quantizer{.symmetric = false}},
      {.name = "weight-only", .input = {}},
      {.name = "weight-only, rotated", .input = {}, .rotated = true},
      {.name = "rotated", .rotated = true},
      {.name = "the first row twice", .first_row_twice = true},
      {.name = "output", .output = still},
      {.name = "llm-awq", .flavour = FakeFlavour::kLlmAwq},
      {.name = "llm-awq static", .input = still, .flavour = FakeFlavour::kLlmAwq},
      {.name = "vllm both", .input = still, .flavour = vllm, .output = still},
      {.name = "vllm input", .input = still, .flavour = vllm},
      {.name = "vllm output", .input = {}, .flavour = vllm, .output = still},
      {.name = "vllm uncalibrated", .input = uncalibrated, .flavour = vllm, .output = still},
      {.name = "bf16 both", .input = still, .flavour = bf16, .output = still},
      {.name = "bf16 neither", .input = {}, .flavour = bf16}};
}

struct FakeLayer {
  std::vector<float> weight = RandomHalfFloats(kN * kK, 2, 0.2f);
  std::vector<float> bias = RandomHalfFloats(kN, 3);
  InputTransform transform{.rotation = Rotation{.block = 32, .mix = true}};
};

std::shared_ptr<const LinearTrace> RunFake(const FakeScheme& scheme, const FakeLayer& layer,
                                           Arena& arena, int64_t first_image, int64_t images,
                                           const Wanted& wanted,
                                           const Kernels& kernels = Select("")) {
  CpuBackend backend(kernels);
  arena.Prepare({HalfSlot(kTokens, kK), HalfSlot(kTokens, kN)}, {.images = images});
  FillSlot(arena, kIn, 31, first_image, 4.0f);
  GemmFakeStep step;
  step.in = kIn;
  step.out = kOut;
  step.input.quantizer = scheme.input;
  step.input.first_row_twice = scheme.first_row_twice;
  if (scheme.rotated) step.input.transform = std::make_shared<InputTransform>(layer.transform);
  step.flavour = scheme.flavour;
  step.weight = backend.PackFloat({layer.weight.data(), kN, kK, kK}, OperandsOf(scheme.flavour));
  step.bias = Shared(layer.bias);
  step.output = scheme.output;
  return arena.Run(step, wanted).trace;
}

// What the float product takes: [kRows, kK].
std::vector<float> Operand(const FakeScheme& scheme, const FakeLayer& layer,
                           MatView<const Half> x) {
  std::vector<float> values(static_cast<size_t>(kRows * kK));
  const MatView<float> view{values.data(), kRows, kK, kK};
  const InputTransform transform = scheme.rotated ? layer.transform : InputTransform();
  if (scheme.input) {
    QuantizeDequantizeRows(x,
                           {.quantizer = *scheme.input,
                            .transform = transform,
                            .rows_per_image = scheme.first_row_twice ? kTokens : 0},
                           scheme.flavour, view);
    return values;
  }
  TransformRows(x, transform, view);
  for (float& value : values) {
    value = scheme.flavour == FakeFlavour::kVllmStaticBf16 ? ToFloat(ToBFloat16(value))
                                                           : RoundedToHalf(value);
  }
  return values;
}

// The plain loops in binary64 and in binary32, both finished as the flavour does.
TEST(FakeSchemes, AreAtMostTwiceAsWrongAsThePlainLoop) {
  const FakeLayer layer;
  for (const FakeScheme& scheme : FakeSchemes()) {
    if (scheme.output) continue;  // a rounding of codes is no float error: the next test
    CpuArena rows(Select(""));
    RunFake(scheme, layer, rows, 0, kImages, {});
    const std::vector<float> x = Operand(scheme, layer, rows.HostHalf(kIn));
    std::vector<double> exact;
    std::vector<float> naive;
    for (size_t m = 0; m < static_cast<size_t>(kRows); ++m) {
      for (size_t n = 0; n < static_cast<size_t>(kN); ++n) {
        double sum = 0;
        float plain = 0;
        for (size_t k = 0; k < static_cast<size_t>(kK); ++k) {
          sum += double{x[m * kK + k]} * double{layer.weight[n * kK + k]};
          plain += x[m * kK + k] * layer.weight[n * kK + k];
        }
        exact.push_back(sum + double{layer.bias[n]});
        naive.push_back(plain);
      }
    }
    FinishFakeRows({.flavour = scheme.flavour, .bias = layer.bias}, {naive.data(), kRows, kN, kN});
    for (const Kernels& kernels : SetsUnderTest()) {
      CpuArena arena(kernels);
      RunFake(scheme, layer, arena, 0, kImages, {}, kernels);
      EXPECT_EQ(TwiceNaive(exact, naive, CopyFloats(arena.HostHalf(kOut))), "")
          << scheme.name << ", " << kernels.name;
    }
  }
}

// All that FP16 has, under scales that overflow, underflow or are absent: the operand of a product
// of FP16 values is one of them.
TEST(FakeSchemes, OperandsOfFp16ProductsAreFp16Values) {
  std::vector<Half> x(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i] = Half{static_cast<uint16_t>(i)};
  const auto count = static_cast<int64_t>(x.size());
  for (const FakeFlavour flavour : {FakeFlavour::kIdeal, FakeFlavour::kLlmAwq,
                                    FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    int64_t others = 0;
    for (const float scale : {0.0f, 0x1p-24f, 1e-5f, 0.04f, 600.0f, 65504.0f}) {
      if (scale == 0.0f && !IsVllmStatic(flavour)) continue;
      std::vector<float> values(x.size());
      QuantizeDequantizeRows({x.data(), 1, count, count}, {.quantizer = Quantizer::Static(scale)},
                             flavour, {values.data(), 1, count, count});
      for (const float value : values) {
        others += std::isnan(value) || ToFloat(ToHalf(value)) == value ? 0 : 1;
      }
    }
    const bool half = OperandsOf(flavour) == FloatOperands::kHalf;
    EXPECT_EQ(others == 0, half) << NameOf(flavour) << ": " << others;
  }
}

// A quantized output is its own code's value, and the code that of the unquantized output.
TEST(FakeSchemes, OutputsAreTheCodesOfWhatTheyWereBefore) {
  const FakeLayer layer;
  for (const FakeScheme& scheme : FakeSchemes()) {
    if (!scheme.output) continue;
    FakeScheme before = scheme;
    before.output.reset();
    CpuArena plain(Select("")), quantized(Select(""));
    RunFake(before, layer, plain, 0, kImages, {});
    const auto trace = RunFake(scheme, layer, quantized, 0, kImages, {.trace = true});
    std::vector<float> y = CopyFloats(plain.HostHalf(kOut));
    std::vector<int8_t> codes(y.size());
    const uint64_t saturated =
        FinishFakeRows({.flavour = scheme.flavour, .output = scheme.output},
                       {y.data(), kRows, kN, kN}, {codes.data(), kRows, kN, kN});
    EXPECT_EQ(Equal(y, CopyFloats(quantized.HostHalf(kOut))), "") << scheme.name;
    EXPECT_EQ(Equal(codes, Copy(trace->output_codes.view())), "") << scheme.name;
    EXPECT_EQ(trace->output_saturated, saturated) << scheme.name;
  }
}

TEST(FakeSchemes, TheTraceIsThatOfTheQuantizer) {
  const FakeLayer layer;
  for (const FakeScheme& scheme : FakeSchemes()) {
    if (!scheme.input || scheme.input->scale == 0.0f) continue;
    if (scheme.flavour != FakeFlavour::kIdeal) continue;
    CpuArena arena(Select(""));
    const auto trace = RunFake(scheme, layer, arena, 0, kImages, {.trace = true});
    const ReferenceRows expected = QuantizeRowsReference(
        arena.HostHalf(kIn), {.quantizer = *scheme.input,
                              .transform = scheme.rotated ? layer.transform : InputTransform(),
                              .rows_per_image = scheme.first_row_twice ? kTokens : 0});
    EXPECT_EQ(Equal(expected.codes, Copy(trace->codes.view())), "") << scheme.name;
    EXPECT_EQ(Equal(expected.scales.values, trace->input_scale.values), "") << scheme.name;
    EXPECT_EQ(Equal(expected.scales.second_values, trace->input_scale.second_values), "")
        << scheme.name;
    EXPECT_EQ(expected.scales.zero_points, trace->input_scale.zero_points) << scheme.name;
    EXPECT_EQ(trace->transformed.view().rows, scheme.rotated ? kRows : 0) << scheme.name;
    if (scheme.rotated) {
      EXPECT_EQ(Equal(expected.values, Copy(trace->transformed.view())), "") << scheme.name;
    }
  }
}

TEST(FakeSchemes, DoNotDependOnTheBatchOrOnWhoAsks) {
  const FakeLayer layer;
  for (const FakeScheme& scheme : FakeSchemes()) {
    CpuArena arena(Select(""));
    RunFake(scheme, layer, arena, 0, kImages, {.trace = true});
    const std::vector<Half> both = Copy(arena.HostHalf(kOut));
    std::vector<Half> alone;
    for (int64_t image = 0; image < kImages; ++image) {
      EXPECT_EQ(RunFake(scheme, layer, arena, image, 1, {}), nullptr);
      const std::vector<Half> y = Copy(arena.HostHalf(kOut));
      alone.insert(alone.end(), y.begin(), y.end());
    }
    EXPECT_EQ(Equal(both, alone), "") << scheme.name;
  }
}

TEST(Fp16Sites, QuantizeTheirOutputsWhereThePlanSaysSo) {
  const FakeLayer layer;
  CpuBackend backend(Select(""));
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(kTokens, kK), HalfSlot(kTokens, kN)}, {.images = kImages});
  FillSlot(arena, kIn, 31, 0, 4.0f);
  GemmF16Step step;
  step.in = kIn;
  step.out = kOut;
  step.weight = backend.PackFloat({layer.weight.data(), kN, kK, kK}, FloatOperands::kAny);
  step.bias = Shared(layer.bias);
  EXPECT_EQ(arena.Run(step, {.trace = true}).trace, nullptr);
  std::vector<float> expected = CopyFloats(arena.HostHalf(kOut));
  std::vector<int8_t> codes;
  for (float& y : expected) {
    const float q = std::nearbyint(std::clamp(y * (1.0f / 0.02f), -127.0f, 127.0f));
    codes.push_back(static_cast<int8_t>(q));
    y = RoundedToHalf(q * 0.02f + 0.0f);
  }
  step.output = Quantizer::Static(0.02f);
  const auto trace = arena.Run(step, {.trace = true}).trace;
  EXPECT_EQ(Equal(expected, CopyFloats(arena.HostHalf(kOut))), "");
  EXPECT_EQ(Equal(codes, Copy(trace->output_codes.view())), "");
}

}  // namespace
}  // namespace w8a8::test
