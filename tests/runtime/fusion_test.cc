// A norm, an activation or a gate that quantizes its rows as it makes them: the bits of two steps,
// on every kernel set.
#include <cstring>
#include <utility>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/fuse_row_steps.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 37, kWidth = 1152, kOut = 24;  // 14 rows are a block: 37 leave a rest

constexpr SlotId kIn = 0, kBetween = 1, kOutput = 2, kCodes = 3, kGateIn = 4, kResidual = 5;

std::vector<Slot> Slots(SlotStorage in) {
  return {in == SlotStorage::kFloat ? FloatSlot(kTokens, kWidth) : HalfSlot(kTokens, kWidth),
          HalfSlot(kTokens, kWidth),
          HalfSlot(kTokens, kOut),
          CodesSlot(kTokens, kWidth),
          HalfSlot(kTokens, 2 * kWidth),
          HalfSlot(kTokens, kWidth)};
}

struct Outcome {
  std::vector<float> in;
  std::vector<Half> between, output;
  std::shared_ptr<const LinearTrace> trace;
};

Outcome Run(const Kernels& kernels, const Program& program) {
  CpuArena arena(kernels);
  arena.Prepare(program.slots, {.images = 2});
  FillSlot(arena, kIn, 3, 0, 6.0f);
  FillSlot(arena, kGateIn, 4, 0, 6.0f);
  FillSlot(arena, kResidual, 6, 0, 6.0f);
  Outcome outcome;
  for (const Step& step : program.steps) outcome.trace = arena.Run(step, {.trace = true}).trace;
  const std::span<const std::byte> in = arena.HostView(kIn);
  outcome.in.resize(in.size() / sizeof(float));
  std::memcpy(outcome.in.data(), in.data(), in.size());
  outcome.between = Copy(arena.HostHalf(kBetween));
  outcome.output = Copy(arena.HostHalf(kOutput));
  return outcome;
}

void ExpectEqual(const Outcome& apart, const Outcome& fused) {
  const RowScales &expected = apart.trace->input_scale, &actual = fused.trace->input_scale;
  EXPECT_EQ(Equal(apart.in, fused.in), "");
  EXPECT_EQ(Equal(apart.between, fused.between), "");
  EXPECT_EQ(Equal(apart.output, fused.output), "");
  EXPECT_EQ(Equal(Copy(apart.trace->codes.view()), Copy(fused.trace->codes.view())), "");
  EXPECT_EQ(Equal(expected.values, actual.values), "");
  EXPECT_EQ(Equal(expected.second_values, actual.second_values), "");
  EXPECT_EQ(Equal(expected.zero_points, actual.zero_points), "");
}

// `before` and `first` make the rows that are quantized: one step after fusion.
void ExpectFusionKeepsEveryBit(const Step& first, const InputSteps& input,
                               SlotStorage in = SlotStorage::kHalf,
                               const std::vector<Step>& before = {}) {
  const std::vector<float> weight = RandomFloats(kOut * kWidth, 5);
  const auto linear =
      QuantizedLinear::FromLinear("layer", {weight.data(), kOut, kWidth, kWidth}, {});
  const int64_t group = input.quantizer->GroupOf(kWidth);
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend packer(kernels);
    Program program;
    program.slots = Slots(in);
    program.steps = {
        first, QuantizeStep{.in = kBetween, .codes = {kCodes, input, group}},
        GemmS8Step{.codes = kCodes, .out = kOutput, .weight = packer.PackInt8(linear, group)}};
    program.nodes = {0, 1, 1};
    program.steps.insert(program.steps.begin(), before.begin(), before.end());
    program.nodes.insert(program.nodes.begin(), before.size(), -1);
    const Outcome apart = Run(kernels, program);
    FuseRowSteps(&program);
    ASSERT_EQ(program.steps.size(), 2u);
    ASSERT_EQ(program.nodes, (std::vector<int32_t>{0, 1}));
    ExpectEqual(apart, Run(kernels, program));
  }
}

const Quantizer kPerToken = {};
const Quantizer kClipped = {.clip_range = 2.0f};
const Quantizer kPerTensor = {.granularity = Granularity::kTensor, .scale = 0.03f};

TEST(Fusion, OfNormAndQuantizeKeepsEveryBit) {
  for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm}) {
    for (const Quantizer& spec : {kPerToken, kClipped, kPerTensor}) {
      for (const SlotStorage storage : {SlotStorage::kHalf, SlotStorage::kFloat}) {
        const NormStep norm{.in = 0,
                            .out = 1,
                            .kind = kind,
                            .eps = 1e-6f,
                            .weight = Shared(RandomFloats(kWidth, 7)),
                            .bias = Shared(kind == NormKind::kLayerNorm ? RandomFloats(kWidth, 8)
                                                                        : std::vector<float>())};
        ExpectFusionKeepsEveryBit(norm, {.quantizer = spec}, storage);
      }
    }
  }
}

TEST(Fusion, OfResidualNormAndQuantizeKeepsEveryBit) {
  for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm}) {
    for (const SlotStorage storage : {SlotStorage::kHalf, SlotStorage::kFloat}) {
      for (const bool scaled : {false, true}) {
        const AddStep add{.stream = kIn,
                          .y = kResidual,
                          .layer_scale = scaled ? Shared(RandomFloats(kWidth, 10)) : FloatsPtr()};
        const NormStep norm{.in = kIn,
                            .out = kBetween,
                            .kind = kind,
                            .eps = 1e-6f,
                            .weight = Shared(RandomFloats(kWidth, 7)),
                            .bias = {}};
        ExpectFusionKeepsEveryBit(norm, {.quantizer = kPerToken}, storage, {add});
      }
    }
  }
}

TEST(Fusion, AddsAResidualToTheNormOfItsOwnStreamOnly) {
  const AddStep add{.stream = 0, .y = 5, .layer_scale = {}};
  const NormStep of_another{
      .in = 1, .out = 2, .kind = NormKind::kRmsNorm, .eps = 1e-6f, .weight = {}, .bias = {}};
  Program program;
  program.steps = {add, of_another};
  program.nodes = {0, 1};
  FuseRowSteps(&program);
  EXPECT_EQ(program.steps.size(), 2u);
  // The stream that the norm writes beside its output is not what it could quantize.
  NormStep fused = of_another;
  fused.in = 0;
  program.steps = {add, fused, QuantizeStep{.in = 0, .codes = {3, {}, kWidth}}};
  program.nodes = {0, 1, 2};
  FuseRowSteps(&program);
  ASSERT_EQ(program.steps.size(), 2u);
  EXPECT_TRUE(std::get<NormStep>(program.steps[0]).add.has_value());
  EXPECT_FALSE(std::get<NormStep>(program.steps[0]).codes.has_value());
}

TEST(Fusion, OfActivationOrGateAndQuantizeKeepsEveryBit) {
  for (const ActivationKind kind : {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                                    ActivationKind::kQuickGelu, ActivationKind::kSilu}) {
    for (const Quantizer& quantizer : {kPerToken, kPerTensor}) {
      const InputSteps input{.quantizer = quantizer};
      ExpectFusionKeepsEveryBit(ActivationStep{.in = kIn, .out = kBetween, .kind = kind}, input);
      ExpectFusionKeepsEveryBit(GateStep{.in = kGateIn, .out = kBetween, .kind = kind}, input);
    }
  }
}

// The blocks of rows (14 of a norm's) do not end where images do (37).
TEST(Fusion, OfEverySchemeOfInputsKeepsEveryBit) {
  const auto rotated = std::make_shared<const InputTransform>(
      InputTransform{RandomFloats(kWidth, 9), Rotation{.block = 128, .mix = true, .seed = 4}});
  const InputSteps inputs[] = {
      {.quantizer = Quantizer{.symmetric = false}},
      {.quantizer = Quantizer{.granularity = Granularity::kTensor,
                              .scale = 0.03f,
                              .symmetric = false,
                              .zero_point = -9}},
      {.quantizer = Quantizer{.granularity = Granularity::kGroup, .group_size = 100}},
      {.quantizer = kPerToken, .transform = rotated},
      {.quantizer = kPerTensor, .first_row_twice = true},
      {.quantizer = kPerToken, .transform = rotated, .first_row_twice = true}};
  for (const InputSteps& input : inputs) {
    const NormStep norm{
        .in = 0, .out = 1, .kind = NormKind::kRmsNorm, .eps = 1e-6f, .weight = {}, .bias = {}};
    ExpectFusionKeepsEveryBit(norm, input);
    ExpectFusionKeepsEveryBit(
        ActivationStep{.in = kIn, .out = kBetween, .kind = ActivationKind::kSilu}, input);
    ExpectFusionKeepsEveryBit(
        GateStep{.in = kGateIn, .out = kBetween, .kind = ActivationKind::kGeluErf}, input);
  }
}

TEST(Fusion, ReachesOverStepsThatDoNotConcernIt) {
  Program program;
  program.steps = {ActivationStep{.in = 0, .out = 1, .kind = ActivationKind::kSilu},
                   ConvertStep{.in = 5, .out = 6},
                   QuantizeStep{.in = 1, .codes = {3, {.quantizer = kPerTensor}, kWidth}}};
  program.nodes = {0, 1, 2};
  FuseRowSteps(&program);
  ASSERT_EQ(program.steps.size(), 2u);
  const auto& fused = std::get<ActivationStep>(program.steps[0]);
  ASSERT_TRUE(fused.codes.has_value());
  EXPECT_EQ(fused.codes->slot, 3);
  EXPECT_EQ(fused.codes->input.quantizer, kPerTensor);
}

void ExpectNothingIsFused(std::vector<Step> steps) {
  Program program;
  program.steps = std::move(steps);
  program.nodes.resize(program.steps.size());
  const size_t count = program.steps.size();
  FuseRowSteps(&program);
  EXPECT_EQ(program.steps.size(), count);
}

TEST(Fusion, LeavesStepsApartThatDoNotFeedEachOther) {
  const ActivationStep makes_2{.in = 0, .out = 2, .kind = ActivationKind::kSilu};
  ExpectNothingIsFused({makes_2, QuantizeStep{.in = 1, .codes = {3, {}, kWidth}}});
  // Another step has written the slot since.
  ExpectNothingIsFused(
      {makes_2, ConvertStep{.in = 1, .out = 2}, QuantizeStep{.in = 2, .codes = {3, {}, kWidth}}});
  ExpectNothingIsFused({makes_2,
                        QkNormStep{.in_out = 2,
                                   .q_col = 0,
                                   .k_col = 0,
                                   .width = 0,
                                   .eps = 0,
                                   .q_weight = nullptr,
                                   .k_weight = nullptr},
                        QuantizeStep{.in = 2, .codes = {3, {}, kWidth}}});
  // The slot of the codes still holds others, which a product in between reads.
  ExpectNothingIsFused({makes_2, GemmS8Step{.codes = 3, .out = 4, .weight = nullptr},
                        QuantizeStep{.in = 2, .codes = {3, {}, kWidth}}});
}

TEST(Fusion, QuantizesARowForOneReaderOnly) {
  Program program;
  program.steps = {ActivationStep{.in = 0, .out = 2, .kind = ActivationKind::kSilu},
                   QuantizeStep{.in = 2, .codes = {3, {.quantizer = kPerToken}, kWidth}},
                   QuantizeStep{.in = 2, .codes = {4, {.quantizer = kPerTensor}, kWidth}}};
  program.nodes = {0, 1, 2};
  FuseRowSteps(&program);
  ASSERT_EQ(program.steps.size(), 2u);
  EXPECT_EQ(std::get<ActivationStep>(program.steps[0]).codes->slot, 3);
  EXPECT_EQ(std::get<QuantizeStep>(program.steps[1]).codes.slot, 4);
}

}  // namespace
}  // namespace w8a8::test
