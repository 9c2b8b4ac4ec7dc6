// A program as a whole has the bits of its steps, though products end in what the next step makes
// of them.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/fuse_products.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class WholePrograms : public DeviceTest {};

constexpr int64_t kTokens = 5, kInputs = 40, kHidden = 80;
constexpr SlotId kIn = 0, kCodes = 1, kHiddenOut = 2, kStream = 3, kActivated = 4,
                 kActivatedCodes = 5, kOut = 6, kNormed = 7;
constexpr Quantizer kStatic = {.granularity = Granularity::kTensor, .scale = 0.02f};

std::vector<Slot> SlotsOf(SlotStorage stream) {
  return {HalfSlot(kTokens, kInputs),
          CodesSlot(kTokens, kInputs),
          HalfSlot(kTokens, kHidden),
          stream == SlotStorage::kFloat ? FloatSlot(kTokens, kHidden) : HalfSlot(kTokens, kHidden),
          HalfSlot(kTokens, kHidden),
          CodesSlot(kTokens, kHidden),
          HalfSlot(kTokens, kInputs),
          HalfSlot(kTokens, kHidden)};
}

PackedPtr Layer(Backend& backend, int64_t n, int64_t k) {
  const std::vector<float> weight = RandomFloats(n * k, 5), bias = RandomFloats(n, 6);
  return backend.PackInt8(
      QuantizedLinear::FromLinear("layer", {weight.data(), n, k, k}, std::span(bias)), k);
}

// A product of kInputs, and what comes behind it.
Program ProgramOf(Backend& backend, const std::vector<Step>& behind,
                  SlotStorage stream = SlotStorage::kHalf) {
  Program program;
  program.slots = SlotsOf(stream);
  program.steps = {
      QuantizeStep{.in = kIn, .codes = {kCodes, {.quantizer = Quantizer()}, kInputs}},
      GemmS8Step{.codes = kCodes, .out = kHiddenOut, .weight = Layer(backend, kHidden, kInputs)}};
  program.steps.insert(program.steps.end(), behind.begin(), behind.end());
  program.nodes.assign(program.steps.size(), 0);
  return program;
}

std::vector<Step> ActivatedLayer(Backend& backend, ActivationKind kind, const Quantizer& codes) {
  return {ActivationStep{.in = kHiddenOut,
                         .out = kActivated,
                         .kind = kind,
                         .codes = CodesOutput{kActivatedCodes, {.quantizer = codes}, kHidden}},
          GemmS8Step{
              .codes = kActivatedCodes, .out = kOut, .weight = Layer(backend, kInputs, kHidden)}};
}

std::unique_ptr<Arena> Filled(Backend& backend, const Program& program) {
  std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare(program.slots, {.images = 2});
  for (SlotId id = 0; id < static_cast<SlotId>(program.slots.size()); ++id) {
    if (program.slots[static_cast<size_t>(id)].storage == SlotStorage::kCodes) continue;
    FillSlot(*arena, id, static_cast<uint64_t>(id) + 1, 0, 3.0f);
  }
  return arena;
}

std::vector<std::byte> BytesOf(Arena& arena, SlotId id) {
  const std::span<const std::byte> bytes = arena.HostView(id);
  return {bytes.begin(), bytes.end()};
}

// What is kept has the bits of the steps; what is `skipped` is not written at all.
void ExpectBitsOfItsSteps(Backend& backend, const Program& program, std::vector<SlotId> kept,
                          std::vector<SlotId> skipped) {
  const std::unique_ptr<Arena> apart = Filled(backend, program), whole = Filled(backend, program);
  const std::unique_ptr<Arena> untouched = Filled(backend, program);
  for (const Step& step : program.steps) apart->Run(step, {});
  for (int run = 0; run < 2; ++run) {
    for (const SlotId id : {kIn, kStream}) whole->Upload(id, 0, untouched->HostView(id));
    whole->RunAll(program, kept);
    for (const SlotId id : kept) EXPECT_EQ(BytesOf(*apart, id), BytesOf(*whole, id)) << id;
  }
  for (const SlotId id : skipped) EXPECT_EQ(BytesOf(*untouched, id), BytesOf(*whole, id)) << id;
  EXPECT_GT(whole->Seconds(), 0.0);
}

TEST_F(WholePrograms, ResidualsOfProductsAreAddedAsTheyAreStored) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  for (const FloatsPtr& scale : {FloatsPtr(), Shared(RandomFloats(kHidden, 9))}) {
    const AddStep add{.stream = kStream, .y = kHiddenOut, .layer_scale = scale};
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, {add}), {kStream}, {kHiddenOut});
    const NormStep norm{.in = kStream,
                        .out = kNormed,
                        .kind = NormKind::kLayerNorm,
                        .eps = 1e-6f,
                        .weight = Shared(RandomFloats(kHidden, 7)),
                        .bias = Shared(RandomFloats(kHidden, 8)),
                        .add = add};
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, {norm}), {kStream, kNormed}, {kHiddenOut});
  }
}

TEST_F(WholePrograms, ActivatedProductsAreStoredAsCodesOfAStaticScale) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  for (const auto kind : {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                          ActivationKind::kQuickGelu, ActivationKind::kSilu}) {
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, ActivatedLayer(backend, kind, kStatic)),
                         {kOut}, {kHiddenOut, kActivated});
  }
}

TEST_F(WholePrograms, ScalesOfARowOrCodesOfAnotherKindAreMadeByStepsOfTheirOwn) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const Quantizer asymmetric{
      .granularity = Granularity::kTensor, .scale = 0.02f, .symmetric = false, .zero_point = -7};
  for (const Quantizer& quantizer : {Quantizer(), asymmetric}) {
    const std::vector<Step> behind = ActivatedLayer(backend, ActivationKind::kGeluErf, quantizer);
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, behind), {kOut, kActivated, kHiddenOut}, {});
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, behind), {kOut}, {});
  }
}

TEST_F(WholePrograms, StreamsOfFp32AreAddedToByAStepOfItsOwn) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = kStream, .y = kHiddenOut, .layer_scale = nullptr};
  ExpectBitsOfItsSteps(backend, ProgramOf(backend, {add}, SlotStorage::kFloat), {kStream}, {});
}

TEST_F(WholePrograms, OutputsThatSomebodyReadsAreStored) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = kStream, .y = kHiddenOut, .layer_scale = nullptr};
  const std::vector<Step> layer = ActivatedLayer(backend, ActivationKind::kSilu, kStatic);
  ExpectBitsOfItsSteps(backend, ProgramOf(backend, {add}), {kStream, kHiddenOut}, {});
  for (const SlotId kept : {kHiddenOut, kActivated}) {
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, layer), {kOut, kept}, {});
  }
  const TanhStep reads_y{.in = kHiddenOut, .out = kNormed};
  const TanhStep reads_activated{.in = kActivated, .out = kNormed};
  ExpectBitsOfItsSteps(backend, ProgramOf(backend, {add, reads_y}), {kStream, kNormed}, {});
  for (const TanhStep& reader : {reads_y, reads_activated}) {
    std::vector<Step> read = layer;
    read.emplace_back(reader);
    ExpectBitsOfItsSteps(backend, ProgramOf(backend, read), {kOut, kNormed}, {});
  }
}

TEST_F(WholePrograms, ASlotThatIsWrittenAnewMayBeSkippedBefore) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = kStream, .y = kHiddenOut, .layer_scale = nullptr};
  const TanhStep anew{.in = kStream, .out = kHiddenOut};
  const Program program = ProgramOf(backend, {add, anew});
  const std::vector<SlotId> kept{kStream, kHiddenOut};
  EXPECT_EQ(ProductFusions(program, kept)[1], ProductFusion::kResidual);
  ExpectBitsOfItsSteps(backend, program, kept, {});
}

}  // namespace
}  // namespace w8a8::test
