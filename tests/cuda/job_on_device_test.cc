// Whole encoders through the CUDA backend, on the model of a block or on a GPU: the emulated arm
// equals the int8 arm in every number, one flipped bit is found, and every step whose bits are
// fixed has those of the CPU's scalar set.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/bench/steady_forward.h"
#include "eval/measure/check_tap.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/runner.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cuda/device.h"
#include "runtime/fuse_row_steps.h"
#include "runtime/lower.h"
#include "tests/arms/made_mixture.h"
#include "tests/arms/made_session.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class JobOnDevice : public DeviceTest {};

constexpr const char* kFaultySite = "blocks.1.attn.proj";

// Flips one bit of one weight of the int8 arm at one site.
class FaultyBackend final : public Backend {
 public:
  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override {
    return device_->PackFloat(weight, operands);
  }
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override {
    QuantizedLinear layer = linear;
    if (layer.name == kFaultySite) layer.weight.codes[77] ^= 0x04;
    return device_->PackInt8(layer, group);
  }
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override {
    return device_->PackEmulated(linear, group);
  }
  std::unique_ptr<Arena> MakeArena() override { return device_->MakeArena(); }

 private:
  const std::unique_ptr<Backend> device_ = MakeBackendOnDevice();
};

Checks ChecksOf(const Graph& graph, const Weights& weights, AttentionPrecision attention,
                const std::function<std::unique_ptr<Backend>()>& make_backend) {
  const std::vector<std::string> sites = graph.Sites();
  Experiment experiment = SweepExperiment(sites, {}, {}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(sites), std::nullopt, FakeFlavour::kIdeal, attention);
  MadeImages images(graph.config, 3);
  CheckTap checks(experiment, 2);
  const std::array<Tap*, 1> taps{&checks};
  RunnerOptions options{
      .threads = 2, .batch = 2, .memory_bytes = 1 << 20, .make_backend = {}, .progress = {}};
  options.make_backend = make_backend;
  RunArms(graph, weights, experiment.runs, images, taps, options);
  return checks.Take();
}

TEST_F(JobOnDevice, TheEmulatedArmEqualsTheInt8ArmInEveryNumber) {
  const Session session = MadeSession("job_on_device");
  for (const auto attention : {AttentionPrecision::kFp32, AttentionPrecision::kInt8}) {
    uint64_t compared = 0;
    for (const auto& [key, counts] :
         ChecksOf(session.graph, *session.weights, attention, MakeBackendOnDevice)) {
      EXPECT_EQ(counts.mismatches(), 0u) << key.place;
      compared += counts.outputs_compared;
    }
    EXPECT_GT(compared, 0u);
  }
  ExpectTheSetMadeInt8Products();
}

TEST_F(JobOnDevice, OneFlippedBitOfAWeightIsFoundAtItsSite) {
  const Session session = MadeSession("job_on_device");
  const Checks checks =
      ChecksOf(session.graph, *session.weights, AttentionPrecision::kFp32,
               []() -> std::unique_ptr<Backend> { return std::make_unique<FaultyBackend>(); });
  uint64_t found = 0;
  for (const auto& [key, counts] : checks) {
    if (key.place == "outputs") continue;  // behind the fault
    if (key.place == kFaultySite) {
      found += counts.mismatches();
    } else {
      EXPECT_EQ(counts.mismatches(), 0u) << key.place;
    }
  }
  EXPECT_GT(found, 0u);
}

// ---- step by step ----

// True for the steps whose bits numerics.md leaves open.
bool HasNoDefinedOrder(const Step& step) {
  if (const auto* attention = std::get_if<AttentionStep>(&step)) {
    return attention->precision != AttentionPrecision::kInt8;
  }
  return std::holds_alternative<EmbedStep>(step) || std::holds_alternative<GemmF16Step>(step) ||
         std::holds_alternative<GemmFakeStep>(step);
}

bool HasValues(const Arena& arena, SlotId id) {
  return arena.slot(id).storage != SlotStorage::kCodes && arena.rows(id) > 0;
}

// Runs both programs side by side; each step of the device is given what the CPU has.
int64_t ExpectEqualSteps(const Program& cpu_program, Arena& cpu, const Program& device_program,
                         Arena& device) {
  int64_t compared = 0;
  EXPECT_EQ(cpu_program.steps.size(), device_program.steps.size());
  const auto slots = static_cast<SlotId>(cpu_program.slots.size());
  for (size_t i = 0; i < cpu_program.steps.size(); ++i) {
    std::vector<SlotId> given;
    for (SlotId id = 0; id < slots; ++id) {
      if (!HasValues(cpu, id)) continue;
      device.Upload(id, 0, cpu.HostView(id));
      given.push_back(id);
    }
    cpu.Run(cpu_program.steps[i], {});
    device.Run(device_program.steps[i], {});
    if (HasNoDefinedOrder(cpu_program.steps[i])) continue;
    // Slots of an expert's rows have some from its gather on, which writes one of them.
    const auto* gather = std::get_if<GatherStep>(&cpu_program.steps[i]);
    if (gather != nullptr) given.assign(HasValues(cpu, gather->out) ? 1 : 0, gather->out);
    for (const SlotId id : given) {
      const std::span<const std::byte> expected = cpu.HostView(id), actual = device.HostView(id);
      EXPECT_TRUE(std::ranges::equal(expected, actual))
          << "slot " << cpu_program.slots[static_cast<size_t>(id)].name << " after step " << i
          << ", of kind " << cpu_program.steps[i].index();
    }
    ++compared;
  }
  return compared;
}

// The stage as a whole, fused and run often enough to become a graph, leaves the bits that its
// steps leave; what the host has a part in becomes no graph.
void ExpectBitsOfItsSteps(const Program& program, Arena& steps, Arena& whole, SlotId input,
                          std::span<const std::byte> bytes, std::vector<SlotId> kept) {
  std::erase(kept, kNoSlot);
  Program fused = program;
  FuseRowSteps(&fused);
  const std::vector<std::byte> zeros(bytes.size());
  for (int run = 0; run < 3; ++run) {
    whole.Prepare(program.slots, {.images = 1});
    whole.Upload(input, 0, run < 2 ? std::span<const std::byte>(zeros) : bytes);
    whole.RunAll(fused, kept);
  }
  EXPECT_EQ(whole.RanAsGraph(), std::ranges::none_of(program.steps, [](const Step& step) {
              return std::holds_alternative<GatherStep>(step) ||
                     std::holds_alternative<GemmCodesStep>(step);
            }));
  steps.Prepare(program.slots, {.images = 1});
  steps.Upload(input, 0, bytes);
  for (const Step& step : program.steps) steps.Run(step, {});
  for (const SlotId id : kept) {
    EXPECT_TRUE(std::ranges::equal(steps.HostView(id), whole.HostView(id)))
        << program.slots[static_cast<size_t>(id)].name;
  }
}

void ExpectStepsOfTheScalarSet(const Graph& graph, const Weights& weights, Precision precision) {
  CpuBackend cpu(ScalarSet());
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  Lowering for_cpu(graph, weights, cpu), for_device(graph, weights, *device);
  const std::unique_ptr<Arena> cpu_arena = cpu.MakeArena(), device_arena = device->MakeArena();
  const std::unique_ptr<Arena> whole = device->MakeArena();
  const Plan plan = PerTokenPlan(graph.Sites());
  MadeImages images(graph.config, 1);
  const std::vector<float> pixels = images.Next()->pixels;
  int64_t compared = 0;
  std::vector<std::byte> stream;
  for (int stage = 0; stage < static_cast<int>(graph.stages.size()); ++stage) {
    for_cpu.BeginStage(stage);
    for_device.BeginStage(stage);
    const auto lower = [&](Lowering& lowering) {
      return lowering.Lower(precision, plan, FakeFlavour::kIdeal, AttentionPrecision::kInt8);
    };
    const Program cpu_program = lower(for_cpu), device_program = lower(for_device);
    for (const auto& [arena, program] :
         {std::pair(cpu_arena.get(), &cpu_program), {device_arena.get(), &device_program}}) {
      arena->Prepare(program->slots, {.images = 1});
    }
    if (stage == 0) {
      cpu_arena->Upload(graph.pixels, 0, std::as_bytes(std::span(pixels)));
    } else {
      cpu_arena->Upload(graph.stream, 0, stream);
    }
    compared += ExpectEqualSteps(cpu_program, *cpu_arena, device_program, *device_arena);
    const bool is_last = stage + 1 == static_cast<int>(graph.stages.size());
    const SlotId input = stage == 0 ? graph.pixels : graph.stream;
    const std::span<const std::byte> bytes =
        stage == 0 ? std::as_bytes(std::span(pixels)) : std::span<const std::byte>(stream);
    ExpectBitsOfItsSteps(
        device_program, *device_arena, *whole, input, bytes,
        is_last ? std::vector{graph.tokens, graph.pooled, graph.image_embeds, graph.logits}
                : std::vector{graph.stream});
    const std::span<const std::byte> left = cpu_arena->HostView(graph.stream);
    stream.assign(left.begin(), left.end());
  }
  EXPECT_GT(compared, 0);
}

TEST_F(JobOnDevice, EveryStepHasTheBitsOfTheScalarSet) {
  const Session session = MadeSession("steps_on_device");
  ExpectStepsOfTheScalarSet(session.graph, *session.weights, Precision::kInt8);
  ExpectStepsOfTheScalarSet(session.graph, *session.weights, Precision::kEmulated);
  const Graph wide = BuildGraph(session.config, SlotStorage::kFloat);
  ExpectStepsOfTheScalarSet(wide, *session.weights, Precision::kInt8);
}

// The statistics of the same rows, fetched and counted by the host.
class HostStatistics final : public Tap {
 public:
  explicit HostStatistics(StatisticsTap* statistics) : statistics_(statistics) {}
  bool WantsLinear(int arm, const std::string& site) const override {
    return statistics_->WantsLinear(arm, site);
  }
  void OnLinear(LinearEvent& event) override {
    RowCounter* const counter = std::exchange(event.counter, nullptr);
    EXPECT_NE(counter, nullptr);
    statistics_->OnLinear(event);
    event.counter = counter;
  }

 private:
  StatisticsTap* const statistics_;
};

void ExpectCountsOfTheHost(const Graph& graph, const Weights& weights, Observed observed) {
  StatisticsTap counted(graph, 2, /*seed=*/3, observed), fetched(graph, 2, /*seed=*/3, observed);
  HostStatistics on_host(&fetched);
  const std::array<Tap*, 2> taps{&counted, &on_host};
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  MadeImages images(graph.config, 3);
  RunnerOptions options{
      .threads = 2, .batch = 2, .memory_bytes = 1 << 20, .make_backend = {}, .progress = {}};
  options.make_backend = MakeBackendOnDevice;
  RunArms(graph, weights, {&reference, 1}, images, taps, options);
  const std::map<std::string, SiteStatistics> expected = fetched.Take();
  for (const auto& [site, actual] : counted.Take()) {
    const SiteStatistics& host = expected.at(site);
    EXPECT_TRUE(actual.histogram.counts() == host.histogram.counts()) << site;
    EXPECT_EQ(Equal(host.channel_absmax, actual.channel_absmax), "") << site;
    EXPECT_TRUE(actual.channel_sum == host.channel_sum) << site;
    EXPECT_TRUE(actual.channel_sum_sq == host.channel_sum_sq) << site;
    EXPECT_EQ(Equal(host.position_absmax, actual.position_absmax), "") << site;
    EXPECT_EQ(actual.position_absmax_sum, host.position_absmax_sum) << site;
    EXPECT_EQ(actual.position_count, host.position_count) << site;
    EXPECT_EQ(actual.rows.InOrder().keys, host.rows.InOrder().keys) << site;
    EXPECT_EQ(Equal(host.rows.InOrder().rows, actual.rows.InOrder().rows), "") << site;
    ASSERT_EQ(actual.outputs.has_value(), observed == Observed::kInputsAndOutputs) << site;
    EXPECT_TRUE(!actual.outputs || actual.outputs->counts() == host.outputs->counts()) << site;
  }
}

// Layers that every token comes to, and experts' rows.
TEST_F(JobOnDevice, StatisticsAreThoseThatTheHostCountsOfTheSameRows) {
  const MadeMixture mixture(MadeMixtureConfig());
  ExpectCountsOfTheHost(mixture.graph, mixture.weights, Observed::kInputsAndOutputs);
}

// Two, because uploads take turns through two buffers.
TEST_F(JobOnDevice, ForwardsMakeNoMemoryOnceTwoRan) {
  const Session session = MadeSession("steady_on_device");
  const MadeMixture mixture(MadeMixtureConfig());
  for (const auto& [graph, weights] :
       {std::pair<const Graph*, const Weights*>(&session.graph, session.weights.get()),
        {&mixture.graph, &mixture.weights}}) {
    const std::unique_ptr<Backend> backend = MakeBackendOnDevice();
    const std::vector<LoweredEncoder> encoders =
        LowerEncoder(*graph, *weights, *backend, std::array{ForwardVariant{Precision::kInt8}});
    SteadyForward forward(encoders.front(), *backend);
    forward.Run();
    const DeviceMemoryCounts before = CountDeviceMemory();
    for (int run = 0; run < 2; ++run) forward.Run();
    EXPECT_EQ(CountDeviceMemory(), before);
  }
}

TEST_F(JobOnDevice, EveryStepAroundExpertsHasTheBitsOfTheScalarSet) {
  for (const EncoderConfig& config : {MadeMixtureConfig(), MadeGatedMixtureConfig()}) {
    const MadeMixture mixture(config);
    ExpectStepsOfTheScalarSet(mixture.graph, mixture.weights, Precision::kInt8);
  }
}

}  // namespace
}  // namespace w8a8::test
