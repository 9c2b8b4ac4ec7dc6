// A forward on shapes that the worker has seen: no allocation, no page fault.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/fuse_row_steps.h"
#include "runtime/lower.h"
#include "tests/arms/made_session.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

// Not inlined, or GCC takes the pair below for mismatched functions. Buffers of the arena come from
// elsewhere: CpuArena::bytes() counts them.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  ++allocations;
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace w8a8::test {
namespace {

struct Cost {
  int64_t allocations = 0, page_faults = 0;
};

int64_t PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

// Of the steps alone: what the runner does between stages is the arms' streams.
Cost RunForward(const std::vector<Program>& stages, CpuArena* arena) {
  Cost cost;
  for (const Program& stage : stages) {
    arena->Prepare(stage.slots, {.images = 2});
    const Cost before = {allocations, PageFaults()};
    for (const Step& step : stage.steps) arena->Run(step, {});
    cost.allocations += allocations - before.allocations;
    cost.page_faults += PageFaults() - before.page_faults;
  }
  return cost;
}

EncoderConfig SomeTokens() {
  EncoderConfig config = TinySiglip();
  config.image_height = config.image_width = 128;
  return config;
}

TEST(SteadyForward, IsMeasuredByCountsThatSeeWhatThereIs) {
  const Cost before = {allocations, PageFaults()};
  const auto pages = std::make_unique<std::vector<char>>(size_t{1} << 24, 'x');
  EXPECT_GT(allocations, before.allocations);
  EXPECT_GT(PageFaults(), before.page_faults);
}

Plan PlanOf(const Session& session, const Quantizer& input) {
  Plan plan;
  for (const std::string& site : session.graph.Sites()) {
    plan.sites[site].input = input;
    plan.sites[site].weight = WeightSpec();
  }
  return plan;
}

// What a forward may be: how it computes, and how its inputs are quantized.
struct SteadyCase {
  const char* name;
  Precision precision;
  AttentionPrecision attention = AttentionPrecision::kFp32;
  Quantizer input = {};
  FakeFlavour flavour = FakeFlavour::kIdeal;
};

std::vector<SteadyCase> SteadyCases() {
  const Quantizer still = Quantizer::Static(0.04f);
  return {{"fp16", Precision::kFp16},
          {"int8", Precision::kInt8},
          {"int8, attention in BF16", Precision::kInt8, AttentionPrecision::kBf16},
          {"int8, attention in INT8", Precision::kInt8, AttentionPrecision::kInt8},
          {"int8, static", Precision::kInt8, AttentionPrecision::kFp32, still},
          {"fake", Precision::kFake},
          {"fake, static", Precision::kFake, AttentionPrecision::kFp32, still}};
}

std::vector<Program> LowerAll(const Session& session, const SteadyCase& steady, Backend& backend) {
  Lowering lowering(session.graph, *session.weights, backend);
  const Plan plan = PlanOf(session, steady.input);
  std::vector<Program> stages;
  for (size_t stage = 0; stage < session.graph.stages.size(); ++stage) {
    lowering.BeginStage(static_cast<int>(stage));
    stages.push_back(lowering.Lower(steady.precision, plan, steady.flavour, steady.attention));
    FuseRowSteps(&stages.back());
  }
  return stages;
}

// Every case of a made checkpoint on every set of this machine, each on an arena of its own.
void ForEachCase(const EncoderConfig& config, const std::string& name,
                 const std::function<void(const std::vector<Program>&, CpuArena&)>& look) {
  const std::filesystem::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder, config, Dtype::kF32, /*seed=*/1);
  const Session session = SessionOf(folder);
  for (const Kernels& kernels : All()) {
    if (!kernels.supported()) continue;
    for (const SteadyCase& steady : SteadyCases()) {
      SCOPED_TRACE(testing::Message() << kernels.name << " " << steady.name);
      CpuBackend backend(kernels);
      const std::vector<Program> stages = LowerAll(session, steady, backend);
      CpuArena arena(kernels);
      look(stages, arena);
    }
  }
}

TEST(SteadyForward, AllocatesNothingAndFaultsNoPageIn) {
  ForEachCase(SomeTokens(), "steady", [](const std::vector<Program>& stages, CpuArena& arena) {
    RunForward(stages, &arena);
    RunForward(stages, &arena);
    const int64_t bytes = arena.bytes();
    const Cost cost = RunForward(stages, &arena);
    EXPECT_EQ(cost.allocations, 0);
    EXPECT_EQ(cost.page_faults, 0);
    EXPECT_EQ(arena.bytes(), bytes);
  });
}

// A copy of a weight would need memory: there is none left for it. All that the steps have beside
// the packed weights, activations included, is smaller than the largest of these in INT8.
TEST(SteadyForward, HasNoRoomForACopyOfAWeight) {
  EncoderConfig wide = TinySiglip();
  wide.width = 512;
  wide.mlp_width = 4096;
  wide.blocks = 1;
  ForEachCase(wide, "steady_wide", [&wide](const std::vector<Program>& stages, CpuArena& arena) {
    RunForward(stages, &arena);
    EXPECT_LT(arena.bytes(), wide.width * wide.mlp_width);
  });
}

}  // namespace
}  // namespace w8a8::test
