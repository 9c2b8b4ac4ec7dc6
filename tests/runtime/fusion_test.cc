// Norm + quantize and activation + quantize as one step: the bits of the two, on every kernel set.
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/lower.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 37, kWidth = 1152, kOut = 24;  // 14 rows are a block: 37 leave a rest

Graph NormGraph(SlotStorage storage) {
  Graph graph = GraphOfSlots({{kTokens, kWidth}, {kTokens, kWidth}, {kTokens, kOut}});
  graph.slots[0].storage = storage;
  return graph;
}

void Fill(Arena& arena) {
  if (arena.storage(0) == SlotStorage::kHalf) return FillSlot(arena, 0, 3, 0, 6.0f);
  const MatView<float> x = arena.floats(0);
  const std::vector<float> values = RandomFloats(x.rows * x.cols, 3, 6.0f);
  std::copy(values.begin(), values.end(), x.data);
}

struct Outcome {
  std::vector<Half> between, output;
  std::vector<int8_t> codes;
  std::vector<float> input_scale;
  std::vector<int32_t> code_sum;
};

Outcome Run(const Kernels& kernels, const Program& program, const Graph& graph) {
  CpuBackend backend(kernels);
  Arena arena;
  arena.Prepare(graph, 2);
  arena.keep_trace = true;
  Fill(arena);
  for (const Step& step : program.steps) {
    std::visit([&](const auto& s) { backend.Run(s, arena); }, step);
  }
  const MatView<const int8_t> codes = arena.trace.codes;
  return {Copy(arena.half(1)),
          Copy(arena.half(2)),
          {codes.data, codes.data + codes.rows * codes.cols},
          arena.trace.input_scale.values,
          arena.trace.code_sum};
}

QuantizeStep Quantize(SlotId in, const Quantizer& spec) {
  QuantizeStep step;
  step.in = in;
  step.spec = spec;
  return step;
}

GemmS8Step Multiply(PackedPtr weight) {
  GemmS8Step step;
  step.out = 2;
  step.weight = std::move(weight);
  return step;
}

void ExpectFusionKeepsEveryBit(const Step& first, const Quantizer& spec, const Graph& graph) {
  const std::vector<float> weight = RandomFloats(kOut * kWidth, 5);
  const auto linear =
      QuantizedLinear::FromLinear("layer", {weight.data(), kOut, kWidth, kWidth}, {});
  for (const Kernels* kernels : All()) {
    if (!kernels->supported()) continue;
    CpuBackend packer(*kernels);
    Program program;
    program.steps = {first, Quantize(1, spec), Multiply(packer.PackInt8(linear))};
    program.nodes = {0, 1, 1};
    const Outcome apart = Run(*kernels, program, graph);
    FuseQuantization(&program);
    ASSERT_EQ(program.steps.size(), 2u);
    ASSERT_EQ(program.nodes, (std::vector<int32_t>{1, 1}));
    const Outcome fused = Run(*kernels, program, graph);
    EXPECT_EQ(Equal(apart.between, fused.between), "");
    EXPECT_EQ(Equal(apart.output, fused.output), "");
    EXPECT_EQ(Equal(apart.codes, fused.codes), "");
    EXPECT_EQ(Equal(apart.input_scale, fused.input_scale), "");
    EXPECT_EQ(Equal(apart.code_sum, fused.code_sum), "");
    ASSERT_EQ(fused.code_sum.size(), static_cast<size_t>(2 * kTokens));
    for (size_t row = 0; row < fused.code_sum.size(); ++row) {
      const auto begin = fused.codes.begin() + static_cast<std::ptrdiff_t>(row * kWidth);
      EXPECT_EQ(fused.code_sum[row], std::accumulate(begin, begin + kWidth, 0)) << "row " << row;
    }
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
        ExpectFusionKeepsEveryBit(norm, spec, NormGraph(storage));
      }
    }
  }
}

TEST(Fusion, OfActivationAndQuantizeKeepsEveryBit) {
  for (const ActivationKind kind : {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                                    ActivationKind::kQuickGelu, ActivationKind::kSilu}) {
    for (const Quantizer& spec : {kPerToken, kPerTensor}) {
      ExpectFusionKeepsEveryBit(ActivationStep{.in = 0, .out = 1, .kind = kind}, spec,
                                NormGraph(SlotStorage::kHalf));
    }
  }
}

TEST(Fusion, LeavesStepsApartThatDoNotFeedEachOther) {
  Program program;
  program.steps = {ActivationStep{.in = 0, .out = 2, .kind = ActivationKind::kSilu},
                   Quantize(1, Quantizer()), ConvertStep{.in = 1, .out = 2},
                   Quantize(2, Quantizer())};
  program.nodes = {0, 1, 2, 3};
  FuseQuantization(&program);
  EXPECT_EQ(program.steps.size(), 4u);
}

}  // namespace
}  // namespace w8a8::test
