// The quantized steps on every kernel set this machine can run: int8 against emulated, traces,
// and what must not depend on the batch or on who ran before.
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_backend.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

std::vector<const Kernels*> UsableKernels() {
  std::vector<const Kernels*> usable;
  for (const Kernels* kernels : All()) {
    if (kernels->supported()) usable.push_back(kernels);
  }
  return usable;
}

struct Layer {
  int64_t tokens, n, k;
  bool bias;
};
const std::vector<Layer> kLayers = {
    {197, 192, 768, true}, {17, 33, 65, false}, {1, 1, 1, true}, {5, 100, 2500, true}};

QuantizedLinear RandomLayer(const Layer& layer) {
  const std::vector<float> weight = RandomFloats(layer.n * layer.k, 11);
  const std::vector<float> bias = layer.bias ? RandomFloats(layer.n, 12) : std::vector<float>();
  return QuantizedLinear::FromLinear("layer", {weight.data(), layer.n, layer.k, layer.k}, bias);
}

const std::vector<Quantizer> kSpecs = {
    {.granularity = Granularity::kToken},
    {.granularity = Granularity::kToken, .clip_range = kClipRange},
    {.granularity = Granularity::kTensor, .scale = 0.05f}};

constexpr SlotId kIn = 0, kInt8Out = 1, kEmulatedOut = 2, kCodes = 3;

// One row of zeros, a NaN and an infinity in another.
Arena FilledArena(const Layer& layer, int64_t images) {
  Arena arena;
  arena.Prepare(std::vector{HalfSlot(layer.tokens, layer.k), HalfSlot(layer.tokens, layer.n),
                            HalfSlot(layer.tokens, layer.n), CodesSlot(layer.tokens, layer.k)},
                images);
  FillSlot(arena, kIn, 13, 0, 9.0f);
  const MatView<Half> x = arena.half(kIn);
  if (x.rows > 3) {
    for (Half& value : x.row_span(1)) value = Half{};
    x.row(2)[0] = ToHalf(std::numeric_limits<float>::quiet_NaN());
    x.row(2)[x.cols - 1] = ToHalf(-std::numeric_limits<float>::infinity());
  }
  return arena;
}

struct Snapshot {
  std::vector<int8_t> codes;
  std::vector<float> input_scale;
  std::vector<int32_t> acc;
};

Snapshot Take(const LinearTrace& trace) {
  return {{trace.codes.data, trace.codes.data + trace.codes.rows * trace.codes.cols},
          trace.input_scale.values,
          {trace.acc.data, trace.acc.data + trace.acc.rows * trace.acc.cols}};
}

void RunInt8(CpuBackend& backend, const QuantizedLinear& linear, const Quantizer& spec,
             Arena& arena) {
  backend.Run(QuantizeStep{.in = kIn, .codes = {kCodes, spec}}, arena);
  backend.Run(GemmS8Step{.codes = kCodes, .out = kInt8Out, .weight = backend.PackInt8(linear)},
              arena);
}

void RunEmulated(CpuBackend& backend, const QuantizedLinear& linear, const Quantizer& spec,
                 Arena& arena) {
  backend.Run(GemmCodesStep{.in = kIn,
                            .out = kEmulatedOut,
                            .quantizer = spec,
                            .weight = backend.PackEmulated(linear)},
              arena);
}

TEST(QuantizedSteps, Int8EqualsEmulatedInCodesScalesAccumulatorsAndOutputs) {
  for (const Kernels* kernels : UsableKernels()) {
    std::printf("kernel set %s\n", std::string(kernels->name).c_str());
    CpuBackend backend(*kernels);
    for (const Layer& layer : kLayers) {
      const QuantizedLinear linear = RandomLayer(layer);
      for (const Quantizer& spec : kSpecs) {
        Arena arena = FilledArena(layer, 2);
        arena.keep_trace = true;
        RunInt8(backend, linear, spec, arena);
        const Snapshot int8 = Take(arena.trace);
        RunEmulated(backend, linear, spec, arena);
        const Snapshot emulated = Take(arena.trace);
        const std::string where = std::string(kernels->name) + " " + std::to_string(layer.n) +
                                  " x " + std::to_string(layer.k);
        EXPECT_EQ(int8.acc.size(), static_cast<size_t>(2 * layer.tokens * layer.n)) << where;
        EXPECT_EQ(int8.input_scale.size(), static_cast<size_t>(spec.ScaleCount(2 * layer.tokens)))
            << where;
        EXPECT_EQ(Equal(std::span<const int8_t>(emulated.codes), int8.codes), "") << where;
        EXPECT_EQ(Equal(std::span<const float>(emulated.input_scale), int8.input_scale), "")
            << where;
        EXPECT_EQ(Equal(std::span<const int32_t>(emulated.acc), int8.acc), "") << where;
        EXPECT_EQ(Equal(Copy(arena.half(kEmulatedOut)), Copy(arena.half(kInt8Out))), "") << where;
      }
    }
  }
}

TEST(QuantizedSteps, TheTracedAccumulatorsAreTheProductsOfTheTracedCodes) {
  const Layer layer{9, 21, 130, true};
  const QuantizedLinear linear = RandomLayer(layer);
  for (const Kernels* kernels : UsableKernels()) {
    CpuBackend backend(*kernels);
    Arena arena = FilledArena(layer, 1);
    arena.keep_trace = true;
    RunInt8(backend, linear, kSpecs[0], arena);
    const Snapshot trace = Take(arena.trace);
    for (size_t m = 0; m < 9; ++m) {
      for (size_t n = 0; n < 21; ++n) {
        int32_t expected = 0;
        for (size_t k = 0; k < 130; ++k) {
          expected += trace.codes[m * 130 + k] * linear.weight.codes[n * 130 + k];
        }
        ASSERT_EQ(trace.acc[m * 21 + n], expected) << kernels->name << " " << m << ", " << n;
      }
    }
  }
}

TEST(QuantizedSteps, AskingForTheTraceChangesNoBit) {
  const Layer layer{17, 33, 65, true};
  const QuantizedLinear linear = RandomLayer(layer);
  for (const Kernels* kernels : UsableKernels()) {
    CpuBackend backend(*kernels);
    Arena arena = FilledArena(layer, 1);
    RunInt8(backend, linear, kSpecs[1], arena);
    const std::vector<Half> without = Copy(arena.half(kInt8Out));
    arena.keep_trace = true;
    RunInt8(backend, linear, kSpecs[1], arena);
    EXPECT_EQ(Equal(without, Copy(arena.half(kInt8Out))), "") << kernels->name;
  }
}

// Two quantized inputs at once, as experts and layers that hand codes on have them.
TEST(QuantizedSteps, CodesStayInTheirSlotsUntilTheyAreMultiplied) {
  const Layer layer{9, 21, 130, true};
  for (const Kernels* kernels : UsableKernels()) {
    CpuBackend backend(*kernels);
    const PackedPtr weight = backend.PackInt8(RandomLayer(layer));
    const Quantizer coarse = kSpecs[2];
    Arena arena;
    arena.Prepare(std::vector{HalfSlot(9, 130), HalfSlot(9, 21), HalfSlot(9, 21), CodesSlot(9, 130),
                              CodesSlot(9, 130)},
                  1);
    FillSlot(arena, 0, 13, 0, 9.0f);
    backend.Run(QuantizeStep{.in = 0, .codes = {3, kSpecs[0]}}, arena);
    backend.Run(GemmS8Step{.codes = 3, .out = 1, .weight = weight}, arena);
    const std::vector<Half> fine_alone = Copy(arena.half(1));
    backend.Run(QuantizeStep{.in = 0, .codes = {4, coarse}}, arena);
    backend.Run(GemmS8Step{.codes = 3, .out = 2, .weight = weight}, arena);
    EXPECT_EQ(Equal(fine_alone, Copy(arena.half(2))), "") << kernels->name;
    backend.Run(GemmS8Step{.codes = 4, .out = 2, .weight = weight}, arena);
    EXPECT_NE(Equal(fine_alone, Copy(arena.half(2))), "") << kernels->name;
  }
}

// A flipped weight code must show, or the equality above proves nothing.
TEST(QuantizedSteps, OneDifferentWeightCodeIsSeen) {
  const Layer layer{9, 21, 130, true};
  QuantizedLinear linear = RandomLayer(layer);
  CpuBackend backend(*UsableKernels().back());
  Arena arena = FilledArena(layer, 1);
  RunInt8(backend, linear, kSpecs[0], arena);
  linear.weight.codes[5 * 130 + 7] = static_cast<int8_t>(linear.weight.codes[5 * 130 + 7] ^ 1);
  linear.Finish();
  RunEmulated(backend, linear, kSpecs[0], arena);
  EXPECT_NE(Equal(Copy(arena.half(kEmulatedOut)), Copy(arena.half(kInt8Out))), "");
}

}  // namespace
}  // namespace w8a8::test
