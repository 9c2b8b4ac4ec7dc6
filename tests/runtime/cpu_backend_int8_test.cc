// The quantized steps on every kernel set: int8 against emulated, traces, and what must not depend
// on the batch or on who ran before.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

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
void Prepare(const Layer& layer, int64_t images, Arena& arena) {
  arena.Prepare({HalfSlot(layer.tokens, layer.k), HalfSlot(layer.tokens, layer.n),
                 HalfSlot(layer.tokens, layer.n), CodesSlot(layer.tokens, layer.k)},
                {.images = images});
  FillSlot(arena, kIn, 13, 0, 9.0f);
  if (arena.rows(kIn) <= 3) return;
  std::vector<float> row(static_cast<size_t>(layer.k));
  SetSlot(arena, kIn, row, 1);
  row[0] = std::numeric_limits<float>::quiet_NaN();
  row.back() = -std::numeric_limits<float>::infinity();
  SetSlot(arena, kIn, row, 2);
}

using TracePtr = std::shared_ptr<const LinearTrace>;

TracePtr RunInt8(CpuBackend& backend, const QuantizedLinear& linear, const Quantizer& spec,
                 Arena& arena, const Wanted& wanted = {.trace = true}) {
  arena.Run(QuantizeStep{.in = kIn, .codes = {kCodes, {.quantizer = spec}, linear.weight.k}},
            wanted);
  return arena
      .Run(GemmS8Step{.codes = kCodes,
                      .out = kInt8Out,
                      .weight = backend.PackInt8(linear, linear.weight.k)},
           wanted)
      .trace;
}

TracePtr RunEmulated(CpuBackend& backend, const QuantizedLinear& linear, const Quantizer& spec,
                     Arena& arena) {
  return arena
      .Run(GemmCodesStep{.in = kIn,
                         .out = kEmulatedOut,
                         .input = {.quantizer = spec},
                         .weight = backend.PackEmulated(linear, linear.weight.k)},
           {.trace = true})
      .trace;
}

TEST(QuantizedSteps, Int8EqualsEmulatedInCodesScalesAccumulatorsAndOutputs) {
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    for (const Layer& layer : kLayers) {
      const QuantizedLinear linear = RandomLayer(layer);
      for (const Quantizer& spec : kSpecs) {
        CpuArena arena(kernels);
        Prepare(layer, 2, arena);
        const TracePtr int8 = RunInt8(backend, linear, spec, arena);
        const TracePtr emulated = RunEmulated(backend, linear, spec, arena);
        const std::vector<int32_t> acc = Copy(int8->acc.view());
        const std::string where = std::string(kernels.name) + " " + std::to_string(layer.n) +
                                  " x " + std::to_string(layer.k);
        EXPECT_EQ(acc.size(), static_cast<size_t>(2 * layer.tokens * layer.n)) << where;
        EXPECT_EQ(int8->input_scale.count(), spec.is_static() ? 1 : 2 * layer.tokens) << where;
        EXPECT_EQ(Equal(Copy(emulated->codes.view()), Copy(int8->codes.view())), "") << where;
        EXPECT_EQ(Equal(emulated->input_scale.values, int8->input_scale.values), "") << where;
        EXPECT_EQ(Equal(Copy(emulated->acc.view()), acc), "") << where;
        EXPECT_EQ(emulated->weight_code_sum, int8->weight_code_sum) << where;
        EXPECT_EQ(Equal(Copy(arena.HostHalf(kEmulatedOut)), Copy(arena.HostHalf(kInt8Out))), "")
            << where;
      }
    }
  }
}

TEST(QuantizedSteps, TheTracedAccumulatorsAreTheProductsOfTheTracedCodes) {
  const Layer layer{9, 21, 130, true};
  const QuantizedLinear linear = RandomLayer(layer);
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    CpuArena arena(kernels);
    Prepare(layer, 1, arena);
    const TracePtr trace = RunInt8(backend, linear, kSpecs[0], arena);
    const std::vector<int8_t> codes = Copy(trace->codes.view());
    const std::vector<int32_t> acc = Copy(trace->acc.view());
    for (size_t m = 0; m < 9; ++m) {
      for (size_t n = 0; n < 21; ++n) {
        int32_t expected = 0;
        for (size_t k = 0; k < 130; ++k) {
          expected += codes[m * 130 + k] * linear.weight.codes[n * 130 + k];
        }
        ASSERT_EQ(acc[m * 21 + n], expected) << kernels.name << " " << m << ", " << n;
      }
    }
  }
}

TEST(QuantizedSteps, AskingForTheTraceChangesNoBit) {
  const Layer layer{17, 33, 65, true};
  const QuantizedLinear linear = RandomLayer(layer);
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    CpuArena arena(kernels);
    Prepare(layer, 1, arena);
    EXPECT_EQ(RunInt8(backend, linear, kSpecs[1], arena, {}), nullptr);
    const std::vector<Half> without = Copy(arena.HostHalf(kInt8Out));
    RunInt8(backend, linear, kSpecs[1], arena);
    EXPECT_EQ(Equal(without, Copy(arena.HostHalf(kInt8Out))), "") << kernels.name;
  }
}

// Two quantized inputs at once, as experts and layers that hand codes on have them.
TEST(QuantizedSteps, CodesStayInTheirSlotsUntilTheyAreMultiplied) {
  const Layer layer{9, 21, 130, true};
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    const PackedPtr weight = backend.PackInt8(RandomLayer(layer), layer.k);
    const Quantizer coarse = kSpecs[2];
    CpuArena arena(kernels);
    arena.Prepare(
        {HalfSlot(9, 130), HalfSlot(9, 21), HalfSlot(9, 21), CodesSlot(9, 130), CodesSlot(9, 130)},
        {.images = 1});
    FillSlot(arena, 0, 13, 0, 9.0f);
    arena.Run(QuantizeStep{.in = 0, .codes = {3, {.quantizer = kSpecs[0]}, layer.k}}, {});
    arena.Run(GemmS8Step{.codes = 3, .out = 1, .weight = weight}, {});
    const std::vector<Half> fine_alone = Copy(arena.HostHalf(1));
    arena.Run(QuantizeStep{.in = 0, .codes = {4, {.quantizer = coarse}, layer.k}}, {});
    arena.Run(GemmS8Step{.codes = 3, .out = 2, .weight = weight}, {});
    EXPECT_EQ(Equal(fine_alone, Copy(arena.HostHalf(2))), "") << kernels.name;
    arena.Run(GemmS8Step{.codes = 4, .out = 2, .weight = weight}, {});
    EXPECT_NE(Equal(fine_alone, Copy(arena.HostHalf(2))), "") << kernels.name;
  }
}

TEST(QuantizedSteps, ATraceIsTheCallersAndOutlivesTheNextStep) {
  const Layer layer{9, 21, 130, true};
  const QuantizedLinear linear = RandomLayer(layer);
  CpuBackend backend(Select(""));
  CpuArena arena(Select(""));
  Prepare(layer, 1, arena);
  const TracePtr kept = RunInt8(backend, linear, kSpecs[0], arena);
  const std::vector<int8_t> codes = Copy(kept->codes.view());
  const std::vector<int32_t> acc = Copy(kept->acc.view());
  const TracePtr next = RunInt8(backend, linear, kSpecs[2], arena);
  EXPECT_NE(Copy(next->codes.view()), codes);
  EXPECT_EQ(Copy(kept->codes.view()), codes);
  EXPECT_EQ(Copy(kept->acc.view()), acc);
}

TEST(QuantizedSteps, TakeOnlyTheRowsThatTheRunTells) {
  const Layer layer{9, 21, 130, true};
  const QuantizedLinear linear = RandomLayer(layer);
  CpuBackend backend(Select(""));
  CpuArena arena(Select(""));
  Prepare(layer, 2, arena);
  RunInt8(backend, linear, kSpecs[0], arena);
  const std::vector<Half> all = Copy(arena.HostHalf(kInt8Out));
  const std::vector<Half> in = Copy(arena.HostHalf(kIn));
  std::vector<Slot> slots = {arena.slot(kIn), arena.slot(kInt8Out), arena.slot(kEmulatedOut),
                             arena.slot(kCodes)};
  for (Slot& slot : slots) slot.tokens = SlotRows::kRouted;
  arena.Prepare(slots, {.images = 2});
  EXPECT_EQ(arena.rows(kIn), 0);
  arena.SetRouted({{0, 1}, {0, 8}, {1, 0}});
  std::vector<Half> expected;
  for (const int64_t row : {1, 8, 9}) {
    const std::span<const Half> from = std::span(in).subspan(static_cast<size_t>(row * layer.k));
    arena.Upload(kIn, static_cast<int64_t>(expected.size()) / layer.n,
                 std::as_bytes(from.first(static_cast<size_t>(layer.k))));
    const auto y = all.begin() + row * layer.n;
    expected.insert(expected.end(), y, y + layer.n);
  }
  const TracePtr trace = RunInt8(backend, linear, kSpecs[0], arena);
  EXPECT_EQ(trace->codes.view().rows, 3);
  EXPECT_EQ(arena.RowsOf(kInt8Out, 0), 2);
  EXPECT_EQ(Equal(expected, Copy(arena.HostHalf(kInt8Out))), "");
  arena.SetRouted({});
  EXPECT_EQ(RunInt8(backend, linear, kSpecs[0], arena), nullptr);
}

// A flipped weight code must show, or the equality above proves nothing.
TEST(QuantizedSteps, OneDifferentWeightCodeIsSeen) {
  const Layer layer{9, 21, 130, true};
  QuantizedLinear linear = RandomLayer(layer);
  CpuBackend backend(SetsUnderTest().front());
  CpuArena arena(SetsUnderTest().front());
  Prepare(layer, 1, arena);
  RunInt8(backend, linear, kSpecs[0], arena);
  linear.weight.codes[5 * 130 + 7] = static_cast<int8_t>(linear.weight.codes[5 * 130 + 7] ^ 1);
  linear.Finish();
  RunEmulated(backend, linear, kSpecs[0], arena);
  EXPECT_NE(Equal(Copy(arena.HostHalf(kEmulatedOut)), Copy(arena.HostHalf(kInt8Out))), "");
}

}  // namespace
}  // namespace w8a8::test
