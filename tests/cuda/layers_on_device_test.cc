// Every layer of an encoder by itself, as `linear` runs it: given the CPU's plan.json and the CPU's
// inputs of the site, a device leaves the CPU's codes, scales, sums and FP16 outputs in every bit.
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/known_sites.h"
#include "eval/run/runner.h"
#include "eval/run/single_layer.h"
#include "quant/plan_file.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/lower.h"
#include "tests/arms/made_session.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class LayersOnDevice : public DeviceTest {};

struct SiteInput {
  int64_t rows = 0;
  std::vector<Half> values;
};
using SiteInputs = std::map<std::string, SiteInput>;

// Keeps what comes to every site of the reference.
class InputsTap final : public Tap {
 public:
  explicit InputsTap(SiteInputs* inputs) : inputs_(inputs) {}
  bool WantsLinear(int, const std::string&) const override { return true; }
  void OnLinear(LinearEvent& event) override {
    SiteInput& input = (*inputs_)[*event.site];
    input.rows += event.input.rows;
    const std::vector<Half> rows = Copy(event.input);
    input.values.insert(input.values.end(), rows.begin(), rows.end());
  }

 private:
  SiteInputs* const inputs_;
};

// What the CPU's scalar set makes of a few images.
struct Calibrated {
  SiteInputs inputs;
  SiteStatisticsMap statistics;
};

Calibrated CalibrateOnCpu(const Session& session) {
  Calibrated made;
  StatisticsTap statistics(session.graph, 1, /*seed=*/3);
  InputsTap inputs(&made.inputs);
  const std::array<Tap*, 2> taps{&statistics, &inputs};
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  MadeImages images(session.config, 3);
  RunnerOptions options{
      .threads = 1, .batch = 2, .memory_bytes = 1 << 20, .make_backend = {}, .progress = {}};
  options.make_backend = [] { return std::make_unique<CpuBackend>(ScalarSet()); };
  RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, options);
  made.statistics = statistics.Take();
  return made;
}

struct LayerOutcome {
  std::vector<Half> y;
  std::shared_ptr<const LinearTrace> trace;
};

LayerOutcome RunLayer(const Session& session, Backend& backend, const std::string& site,
                      const SiteInput& input, const Plan& plan, const Wanted& wanted) {
  const LinearParameters layer = session.weights->Linear(site);
  const Graph graph = SingleLayerGraph(site, input.rows, layer.k, layer.n);
  Lowering lowering(graph, *session.weights, backend);
  const Program program = lowering.LowerLayer(0, Precision::kInt8, plan, FakeFlavour::kIdeal);
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare(program.slots, {.images = 1});
  arena->Upload(Lowering::kLayerIn, 0, std::as_bytes(std::span(input.values)));
  LayerOutcome outcome;
  for (const Step& step : program.steps) {
    StepResult result = arena->Run(step, wanted);
    if (result.trace) outcome.trace = std::move(result.trace);
  }
  outcome.y = Copy(arena->HostHalf(Lowering::kLayerOut));
  return outcome;
}

// Through the file, as another process would get it.
Plan ThroughFile(const Session& session, const Plan& plan) {
  const std::filesystem::path file = ScratchFolder("layers_on_device_plan") / "plan.json";
  const std::vector<KnownSite> sites = KnownSites(session.graph);
  WritePlan(file, {.model_sha256 = session.weights->sha256(), .plan = plan}, sites);
  return ReadPlan(file, sites).plan;
}

// All codes of all sites, for tests that two plans are not the same.
std::vector<int8_t> ExpectLayersOfTheCpu(const Session& session, const SiteInputs& inputs,
                                         const Plan& plan) {
  CpuBackend cpu(ScalarSet());
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  std::vector<int8_t> all;
  for (const auto& [site, input] : inputs) {
    SCOPED_TRACE(site);
    const LayerOutcome expected = RunLayer(session, cpu, site, input, plan, {.trace = true});
    const LayerOutcome actual = RunLayer(session, *device, site, input, plan, {.trace = true});
    const LayerOutcome untraced = RunLayer(session, *device, site, input, plan, {});
    EXPECT_EQ(Equal(expected.y, actual.y), "");
    EXPECT_EQ(Equal(expected.y, untraced.y), "");
    if (expected.trace == nullptr || actual.trace == nullptr) {
      ADD_FAILURE() << "no trace";
      continue;
    }
    const std::vector<int8_t> codes = Copy(expected.trace->codes.view());
    EXPECT_EQ(static_cast<int64_t>(codes.size()), static_cast<int64_t>(input.values.size()));
    EXPECT_EQ(Equal(codes, Copy(actual.trace->codes.view())), "");
    EXPECT_EQ(Equal(expected.trace->input_scale.values, actual.trace->input_scale.values), "");
    EXPECT_EQ(Equal(Copy(expected.trace->acc.view()), Copy(actual.trace->acc.view())), "");
    all.insert(all.end(), codes.begin(), codes.end());
  }
  ExpectTheSetMadeInt8Products();
  return all;
}

TEST_F(LayersOnDevice, HaveTheCpusCodesSumsAndOutputsGivenItsPlanAndItsInputs) {
  const Session session = MadeSession("layers_on_device");
  const Calibrated cpu = CalibrateOnCpu(session);
  const std::vector<std::string> sites = session.graph.Sites();
  ASSERT_EQ(cpu.inputs.size(), sites.size());
  const Plan dynamic = ThroughFile(session, PerTokenPlan(sites));
  const Plan fixed = ThroughFile(session, PerTensorPlan(sites, cpu.statistics).plan);
  const Plan clipped = ThroughFile(session, PerTensorPlan(sites, cpu.statistics, 1.0f).plan);
  EXPECT_TRUE(fixed.sites.at(sites.front()).input->is_static());
  const std::vector<int8_t> of_dynamic = ExpectLayersOfTheCpu(session, cpu.inputs, dynamic);
  const std::vector<int8_t> of_fixed = ExpectLayersOfTheCpu(session, cpu.inputs, fixed);
  EXPECT_NE(of_dynamic, of_fixed);
  EXPECT_NE(of_fixed, ExpectLayersOfTheCpu(session, cpu.inputs, clipped));
}

}  // namespace
}  // namespace w8a8::test
