// What a step makes of an image depends on that image alone, and a second run of the same shape
// finds all its memory in place.
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 19, kWidth = 48, kMlp = 96;

// Slots of a little encoder: pixels, stream, normed, qkv, mixed, wide, probe, pooled, and the codes
// of the stream.
std::vector<Slot> LittleSlots() {
  return {FloatSlot(3, 24 * 12),         HalfSlot(kTokens, kWidth), HalfSlot(kTokens, kWidth),
          HalfSlot(kTokens, 3 * kWidth), HalfSlot(kTokens, kWidth), HalfSlot(kTokens, kMlp),
          HalfSlot(1, kWidth),           HalfSlot(1, kWidth),       CodesSlot(kTokens, kWidth)};
}

PackedPtr RandomWeights(Backend& backend, int64_t n, int64_t k, uint64_t seed) {
  const std::vector<float> values = RandomHalfFloats(n * k, seed, 0.2f);
  return backend.PackFloat({values.data(), n, k, k}, FloatOperands::kAny);
}

QuantizedLinear RandomQuantized(int64_t n, int64_t k, uint64_t seed) {
  const std::vector<float> weight = RandomFloats(n * k, seed, 0.2f);
  return QuantizedLinear::FromLinear("layer", {weight.data(), n, k, k}, RandomFloats(n, seed + 1));
}

// Every kind of step, each reading what an earlier one wrote.
std::vector<Step> EveryStep(Backend& backend) {
  const Quantizer quantizer{.clip_range = 4.0f};
  return {
      EmbedStep{.pixels = 0,
                .out = 1,
                .patch_weight = RandomWeights(backend, kWidth, 48, 1),
                .patch_bias = Shared(RandomFloats(kWidth, 2)),
                .prefix = Shared(RandomFloats(kWidth, 3)),
                .position = Shared(RandomFloats(kTokens * kWidth, 4)),
                .channels = 3,
                .image_height = 24,
                .image_width = 12,
                .patch = 4},
      NormStep{.in = 1,
               .out = 2,
               .kind = NormKind::kLayerNorm,
               .eps = 1e-6f,
               .weight = Shared(RandomFloats(kWidth, 5)),
               .bias = Shared(RandomFloats(kWidth, 6))},
      GemmF16Step{.in = 2,
                  .out = 3,
                  .weight = RandomWeights(backend, 3 * kWidth, kWidth, 7),
                  .bias = Shared(RandomFloats(3 * kWidth, 8))},
      QkNormStep{.in_out = 3,
                 .q_col = 0,
                 .k_col = kWidth,
                 .width = kWidth,
                 .eps = 1e-6f,
                 .q_weight = Shared(RandomFloats(kWidth, 9)),
                 .k_weight = Shared({})},
      AttentionStep{.q = 3,
                    .kv = 3,
                    .out = 4,
                    .q_col = 0,
                    .k_col = kWidth,
                    .v_col = 2 * kWidth,
                    .heads = 3,
                    .head_dim = 16},
      GemmFakeStep{.in = 4,
                   .out = 2,
                   .input = {.quantizer = quantizer},
                   .flavour = FakeFlavour::kIdeal,
                   .weight = RandomWeights(backend, kWidth, kWidth, 10),
                   .bias = Shared(RandomFloats(kWidth, 11))},
      AddStep{.stream = 1, .y = 2, .layer_scale = Shared(RandomFloats(kWidth, 12))},
      QuantizeStep{.in = 1, .codes = {8, {.quantizer = quantizer}, kWidth}},
      GemmS8Step{.codes = 8,
                 .out = 5,
                 .weight = backend.PackInt8(RandomQuantized(kMlp, kWidth, 13), kWidth)},
      ActivationStep{.in = 5, .out = 5, .kind = ActivationKind::kGeluErf},
      GemmCodesStep{.in = 5,
                    .out = 2,
                    .input = {.quantizer = quantizer},
                    .weight = backend.PackEmulated(RandomQuantized(kWidth, kMlp, 15), kMlp)},
      AddStep{.stream = 1, .y = 2, .layer_scale = nullptr},
      BroadcastStep{.out = 6, .row = Shared(RandomFloats(kWidth, 17))},
      AttentionStep{.q = 6,
                    .kv = 3,
                    .out = 7,
                    .q_col = 0,
                    .k_col = kWidth,
                    .v_col = 2 * kWidth,
                    .heads = 3,
                    .head_dim = 16},
      AddStep{.stream = 6, .y = 7, .layer_scale = nullptr},
      MeanRowsStep{.in = 1, .out = 7, .first_row = 1},
      AddStep{.stream = 6, .y = 7, .layer_scale = nullptr},
      SelectRowStep{.in = 1, .out = 7, .row = 2},
      NormStep{.in = 7,
               .out = 7,
               .kind = NormKind::kRmsNorm,
               .eps = 1e-6f,
               .weight = nullptr,
               .bias = nullptr},
      AddStep{.stream = 6, .y = 7, .layer_scale = nullptr},
  };
}

// Stream and pooled row of the images [first, first + count) in one batch.
std::vector<Half> RunAll(const std::vector<Step>& steps, Arena& arena, int64_t first,
                         int64_t count) {
  arena.Prepare(LittleSlots(), {.images = count});
  for (int64_t image = 0; image < count; ++image) {
    SetSlot(arena, 0, RandomFloats(3 * 24 * 12, 100 + static_cast<uint64_t>(first + image)),
            image * 3);
  }
  for (const Step& step : steps) arena.Run(step, {});
  std::vector<Half> values;
  for (int64_t image = 0; image < count; ++image) {
    for (const SlotId slot : {1, 6}) {
      const std::vector<Half> part = Copy(HalfOf(arena, slot, image));
      values.insert(values.end(), part.begin(), part.end());
    }
  }
  return values;
}

TEST(Batch, SevenImagesAtOnceOrOneByOneGiveEqualBits) {
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    const std::vector<Step> steps = EveryStep(backend);
    CpuArena arena(kernels);
    const std::vector<Half> together = RunAll(steps, arena, 0, 7);
    std::vector<Half> alone;
    for (int64_t image = 0; image < 7; ++image) {
      const std::vector<Half> one = RunAll(steps, arena, image, 1);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    EXPECT_EQ(Equal(alone, together), "") << kernels.name;
    for (const Half value : together) ASSERT_TRUE(IsFinite(value));
  }
}

TEST(Batch, TwoWorkersAtOnceGiveTheBitsOfOne) {
  CpuBackend backend(Select(""));
  const std::vector<Step> steps = EveryStep(backend);
  CpuArena arena(Select(""));
  const std::vector<Half> expected = RunAll(steps, arena, 0, 3);
  std::vector<std::vector<Half>> actual(2);
  {
    std::vector<std::jthread> workers;
    for (std::vector<Half>& out : actual) {
      workers.emplace_back([&] {
        CpuArena own(Select(""));  // packed weights are shared, memory is not
        for (int i = 0; i < 10; ++i) out = RunAll(steps, own, 0, 3);
      });
    }
  }
  for (const std::vector<Half>& out : actual) EXPECT_EQ(Equal(expected, out), "");
}

TEST(Batch, IdleWorkersThatHelpChangeNoBit) {
  for (const Kernels& kernels : SetsUnderTest()) {
    CpuBackend backend(kernels);
    const std::vector<Step> steps = EveryStep(backend);
    CpuArena alone(kernels), shared(kernels);
    const std::vector<Half> expected = RunAll(steps, alone, 0, 7);
    ThreadPool pool(3);
    pool.For(1, [&](int64_t, int worker) {
      shared.ShareWith(pool, worker);
      for (int run = 0; run < 500 && shared.pieces_by_helpers() == 0; ++run) {
        while (pool.idle() < 2) std::this_thread::yield();
        ASSERT_EQ(Equal(expected, RunAll(steps, shared, 0, 7)), "") << kernels.name;
      }
    });
    EXPECT_GT(shared.pieces_by_helpers(), 0) << kernels.name << ": nobody helped";
  }
}

TEST(Batch, ASecondRunOfEqualOrSmallerShapeGrowsNothing) {
  CpuBackend backend(Select(""));
  const std::vector<Step> steps = EveryStep(backend);
  CpuArena arena(Select(""));
  RunAll(steps, arena, 0, 4);
  const int64_t bytes = arena.bytes();
  EXPECT_GT(bytes, 0);
  RunAll(steps, arena, 0, 4);
  RunAll(steps, arena, 0, 2);
  EXPECT_EQ(arena.bytes(), bytes);
}

// So a forward's stream stays with the arena from stage to stage.
TEST(Arenas, KeepTheRowsOfASlotWhoseShapeStays) {
  CpuBackend backend(Select(""));
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  std::vector<Slot> slots = {HalfSlot(5, 40), FloatSlot(5, 40), HalfSlot(3, 8)};
  arena->Prepare(slots, {.images = 2});
  FillSlot(*arena, 0, 1);
  FillSlot(*arena, 1, 2);
  const auto bytes = [&](SlotId id) {
    const std::span<const std::byte> view = arena->HostView(id);
    return std::vector<std::byte>(view.begin(), view.end());
  };
  const std::vector<std::byte> halves = bytes(0), floats = bytes(1);
  slots[2] = HalfSlot(300, 80);
  slots.push_back(CodesSlot(5, 40));
  arena->Prepare(slots, {.images = 2});
  EXPECT_EQ(bytes(0), halves);
  EXPECT_EQ(bytes(1), floats);
}

// 64 values are two cache lines, so that rows lie three apart; what comes and goes has no gaps.
TEST(Arenas, GiveTheRowsOfASpacedSlotWithoutTheirGaps) {
  CpuBackend backend(Select(""));
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  Slot spaced = HalfSlot(5, 64);
  spaced.spaced = true;
  arena->Prepare({spaced, HalfSlot(5, 64), HalfSlot(5, 64), HalfSlot(5, 64)}, {.images = 2});
  FillSlot(*arena, 0, 1);
  FillSlot(*arena, 1, 1);
  const auto bytes = [&](SlotId id) {
    const std::span<const std::byte> view = arena->HostView(id);
    return std::vector<std::byte>(view.begin(), view.end());
  };
  EXPECT_EQ(bytes(0), bytes(1));
  const std::vector<std::byte> row(arena->row_bytes(0), std::byte{0x3c});
  for (const SlotId id : {0, 1}) arena->Upload(id, 7, row);
  EXPECT_EQ(bytes(0), bytes(1));
  EXPECT_EQ(std::vector(arena->HostView(0).begin() + 7 * 128, arena->HostView(0).begin() + 8 * 128),
            row);
  arena->Run(ActivationStep{.in = 0, .out = 2, .kind = ActivationKind::kGeluTanh}, {});
  arena->Run(ActivationStep{.in = 1, .out = 3, .kind = ActivationKind::kGeluTanh}, {});
  EXPECT_EQ(bytes(2), bytes(3));
}

}  // namespace
}  // namespace w8a8::test
