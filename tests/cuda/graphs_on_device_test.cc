// A program that runs as a graph: it has the bits of its steps for whatever it is given, and is
// made anew once anything that it names is another's.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/device.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/small_programs.h"

namespace w8a8::test {
namespace {

constexpr SlotId kKept[] = {small::kStream, small::kNormed};

class Graphs : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    backend_ = MakeBackendOnDevice();
    steps_ = backend_->MakeArena();
    whole_ = backend_->MakeArena();
  }

  // A product whose result becomes a residual, and the norm of that.
  Program ResidualAndNorm(float eps) {
    const NormStep norm{
        .in = small::kStream,
        .out = small::kNormed,
        .kind = NormKind::kLayerNorm,
        .eps = eps,
        .weight = nullptr,
        .bias = nullptr,
        .add = AddStep{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr}};
    return small::ProgramOf(*backend_, {norm});
  }

  // Runs the program on values that it was never given; true if that was by its graph.
  bool RunsAsGraph(const Program& program, BatchInputs inputs) {
    for (Arena* arena : {steps_.get(), whole_.get()}) {
      arena->Prepare(program.slots, inputs);
      for (const SlotId id : {small::kIn, small::kStream})
        FillSlot(*arena, id, seed_ + static_cast<uint64_t>(id));
    }
    seed_ += 10;
    for (const Step& step : program.steps) steps_->Run(step, {});
    whole_->RunAll(program, kKept);
    for (const SlotId id : kKept)
      EXPECT_EQ(small::BytesOf(*steps_, id), small::BytesOf(*whole_, id)) << id;
    return whole_->RanAsGraph();
  }

  void RunUntilGraph(const Program& program, const BatchInputs& inputs) {
    for (int run = 0; run < 3; ++run) {
      if (RunsAsGraph(program, inputs)) return;
    }
    FAIL() << "three runs on memory that nobody moves, and no graph";
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Arena> steps_, whole_;
  uint64_t seed_ = 1;
};

TEST_F(Graphs, AreOfOneBatch) {
  const Program program = ResidualAndNorm(1e-6f);
  RunUntilGraph(program, {.images = 2});
  EXPECT_FALSE(RunsAsGraph(program, {.images = 1})) << "no memory moved, but fewer rows";
  EXPECT_TRUE(RunsAsGraph(program, {.images = 1}));
  EXPECT_TRUE(RunsAsGraph(program, {.images = 2}));
}

TEST_F(Graphs, AreDroppedWhereABiggerBatchMovedMemory) {
  const Program program = ResidualAndNorm(1e-6f);
  RunUntilGraph(program, {.images = 2});
  EXPECT_FALSE(RunsAsGraph(program, {.images = 3}));
  EXPECT_FALSE(RunsAsGraph(program, {.images = 2}));
  RunUntilGraph(program, {.images = 2});
}

// As the weights of the next stage are, while images run through this one.
TEST_F(Graphs, StayWhereMemoryIsMadeBesideThem) {
  const Program program = ResidualAndNorm(1e-6f);
  RunUntilGraph(program, {.images = 2});
  const DeviceMemoryCounts before = CountDeviceMemory();
  const Program next = ResidualAndNorm(1e-5f);
  const std::unique_ptr<Arena> other = backend_->MakeArena();
  other->Prepare(next.slots, {.images = 5});
  ASSERT_GT(CountDeviceMemory().made, before.made);
  ASSERT_EQ(CountDeviceMemory().released, before.released) << "packing lets go of nothing";
  EXPECT_TRUE(RunsAsGraph(program, {.images = 2}));
}

TEST_F(Graphs, AreDroppedWhereAnotherProgramMovedASlot) {
  const Program program = ResidualAndNorm(1e-6f);
  RunUntilGraph(program, {.images = 2});
  std::vector<Slot> larger = program.slots;
  larger[small::kStream].rows += 1;
  whole_->Prepare(larger, {.images = 2});
  EXPECT_FALSE(RunsAsGraph(program, {.images = 2}));
  RunUntilGraph(program, {.images = 2});
}

// The second program lies where the first one lay, and shares its weights.
TEST_F(Graphs, BelongToOneProgram) {
  std::optional<Program> program = ResidualAndNorm(1e-6f);
  const Program other = [&] {
    Program copy = *program;
    std::get<NormStep>(copy.steps.back()).eps = 1.0f;
    return copy;
  }();
  RunUntilGraph(*program, {.images = 2});
  const Program* const place = &*program;
  program.emplace(other);
  ASSERT_EQ(&*program, place);
  EXPECT_FALSE(RunsAsGraph(*program, {.images = 2}));
  RunUntilGraph(*program, {.images = 2});
}

// So a forward's stream stays on the device from stage to stage.
TEST_F(Graphs, FindTheRowsOfASlotWhoseShapeStays) {
  std::vector<Slot> slots = small::SlotsOf(SlotStorage::kHalf);
  whole_->Prepare(slots, {.images = 2});
  FillSlot(*whole_, small::kStream, 5);
  const auto before = small::BytesOf(*whole_, small::kStream);
  slots[small::kIn].rows *= 30;
  whole_->Prepare(slots, {.images = 2});
  EXPECT_EQ(small::BytesOf(*whole_, small::kStream), before);
}

TEST_F(Graphs, KeepWhatTheyWereAskedFor) {
  const Program program = small::ProgramOf(
      *backend_,
      {AddStep{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr}});
  whole_->Prepare(program.slots, {.images = 2});
  steps_->Prepare(program.slots, {.images = 2});
  for (const std::vector<SlotId>& kept : {std::vector<SlotId>{small::kStream},
                                          std::vector<SlotId>{small::kStream, small::kHiddenOut}}) {
    for (int run = 0; run < 4; ++run) {
      for (const SlotId id : {small::kIn, small::kStream}) {
        for (Arena* arena : {steps_.get(), whole_.get()}) FillSlot(*arena, id, ++seed_ / 2);
      }
      for (const Step& step : program.steps) steps_->Run(step, {});
      whole_->RunAll(program, kept);
      for (const SlotId id : kept)
        EXPECT_EQ(small::BytesOf(*steps_, id), small::BytesOf(*whole_, id)) << run;
    }
    EXPECT_TRUE(whole_->RanAsGraph());
  }
}

// The emulated arm's rows are quantized on the host.
TEST_F(Graphs, AreNotMadeWhereTheHostHasAPart) {
  Program program = ResidualAndNorm(1e-6f);
  const std::vector<float> weight = RandomFloats(small::kInputs * small::kHidden, 5);
  const QuantizedLinear layer = QuantizedLinear::FromLinear(
      "layer", {weight.data(), small::kHidden, small::kInputs, small::kInputs}, {});
  GemmCodesStep emulated{
      .in = small::kIn, .out = small::kHiddenOut, .input = {}, .weight = nullptr};
  emulated.input.quantizer = Quantizer();
  emulated.weight = backend_->PackEmulated(layer, small::kInputs);
  program.steps[0] = emulated;
  program.steps.erase(program.steps.begin() + 1);
  program.identity = ProgramIdentity();
  for (int run = 0; run < 4; ++run) EXPECT_FALSE(RunsAsGraph(program, {.images = 2}));
}

}  // namespace
}  // namespace w8a8::test
