// A program as a whole has the bits of its steps, though products end in what the next step makes
// of them.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/fuse_products.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/small_programs.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class WholePrograms : public DeviceTest {};

// What is kept has the bits of the steps; what is `skipped` is not written at all.
void ExpectBitsOfItsSteps(Backend& backend, const Program& program, std::vector<SlotId> kept,
                          std::vector<SlotId> skipped) {
  const std::unique_ptr<Arena> apart = small::Filled(backend, program),
                               whole = small::Filled(backend, program);
  const std::unique_ptr<Arena> untouched = small::Filled(backend, program);
  // By its steps first, and once all memory is there as a graph; other values every time.
  for (uint64_t run = 0; run < 4; ++run) {
    for (const SlotId id : {small::kIn, small::kStream}) {
      for (Arena* arena : {apart.get(), whole.get()}) FillSlot(*arena, id, 10 * run + 1, 0, 3.0f);
    }
    for (const Step& step : program.steps) apart->Run(step, {});
    whole->RunAll(program, kept);
    EXPECT_EQ(whole->RanAsGraph(), run >= 1) << run;
    for (const SlotId id : kept)
      EXPECT_EQ(small::BytesOf(*apart, id), small::BytesOf(*whole, id)) << id;
  }
  for (const SlotId id : skipped)
    EXPECT_EQ(small::BytesOf(*untouched, id), small::BytesOf(*whole, id)) << id;
  EXPECT_GT(whole->Seconds(), 0.0);
}

TEST_F(WholePrograms, ResidualsOfProductsAreAddedAsTheyAreStored) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  for (const FloatsPtr& scale : {FloatsPtr(), Shared(RandomFloats(small::kHidden, 9))}) {
    const AddStep add{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = scale};
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, {add}), {small::kStream},
                         {small::kHiddenOut});
    const NormStep norm{.in = small::kStream,
                        .out = small::kNormed,
                        .kind = NormKind::kLayerNorm,
                        .eps = 1e-6f,
                        .weight = Shared(RandomFloats(small::kHidden, 7)),
                        .bias = Shared(RandomFloats(small::kHidden, 8)),
                        .add = add};
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, {norm}),
                         {small::kStream, small::kNormed}, {small::kHiddenOut});
  }
  ExpectTheSetMadeInt8Products();
}

TEST_F(WholePrograms, ActivatedProductsAreStoredAsCodesOfAStaticScale) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  for (const auto kind : {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                          ActivationKind::kQuickGelu, ActivationKind::kSilu}) {
    ExpectBitsOfItsSteps(
        backend, small::ProgramOf(backend, small::ActivatedLayer(backend, kind, small::kStatic)),
        {small::kOut}, {small::kHiddenOut, small::kActivated});
  }
  ExpectTheSetMadeInt8Products();
}

TEST_F(WholePrograms, ScalesOfARowOrCodesOfAnotherKindAreMadeByStepsOfTheirOwn) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const Quantizer asymmetric{
      .granularity = Granularity::kTensor, .scale = 0.02f, .symmetric = false, .zero_point = -7};
  for (const Quantizer& quantizer : {Quantizer(), asymmetric}) {
    const std::vector<Step> behind =
        small::ActivatedLayer(backend, ActivationKind::kGeluErf, quantizer);
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, behind),
                         {small::kOut, small::kActivated, small::kHiddenOut}, {});
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, behind), {small::kOut}, {});
  }
}

TEST_F(WholePrograms, StreamsOfFp32AreAddedToByAStepOfItsOwn) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr};
  ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, {add}, SlotStorage::kFloat),
                       {small::kStream}, {});
}

TEST_F(WholePrograms, OutputsThatSomebodyReadsAreStored) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr};
  const std::vector<Step> layer =
      small::ActivatedLayer(backend, ActivationKind::kSilu, small::kStatic);
  ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, {add}),
                       {small::kStream, small::kHiddenOut}, {});
  for (const SlotId kept : {small::kHiddenOut, small::kActivated}) {
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, layer), {small::kOut, kept}, {});
  }
  const TanhStep reads_y{.in = small::kHiddenOut, .out = small::kNormed};
  const TanhStep reads_activated{.in = small::kActivated, .out = small::kNormed};
  ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, {add, reads_y}),
                       {small::kStream, small::kNormed}, {});
  for (const TanhStep& reader : {reads_y, reads_activated}) {
    std::vector<Step> read = layer;
    read.emplace_back(reader);
    ExpectBitsOfItsSteps(backend, small::ProgramOf(backend, read), {small::kOut, small::kNormed},
                         {});
  }
}

TEST_F(WholePrograms, ASlotThatIsWrittenAnewMayBeSkippedBefore) {
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Backend& backend = *device;
  const AddStep add{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr};
  const TanhStep anew{.in = small::kStream, .out = small::kHiddenOut};
  const Program program = small::ProgramOf(backend, {add, anew});
  const std::vector<SlotId> kept{small::kStream, small::kHiddenOut};
  EXPECT_EQ(ProductFusions(program, kept)[1], ProductFusion::kResidual);
  ExpectBitsOfItsSteps(backend, program, kept, {});
}

}  // namespace
}  // namespace w8a8::test
