// The proof that the proof works: emulated equals int8 in every number, and one flipped bit
// anywhere in what the runtime packed is found, at exactly its site.
#include "eval/measure/check_tap.h"

#include <array>
#include <bit>
#include <map>

#include <gtest/gtest.h>

#include "eval/measure/routing_tap.h"
#include "eval/run/runner.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/arms/made_mixture.h"
#include "tests/arms/made_session.h"
#include "tests/cpu/kernel_sets.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 6;
constexpr const char* kFaultySite = "blocks.1.attn.proj";

enum class Fault { kNone, kWeight, kScale, kColumnSum, kDoubledScales };

// A CPU backend whose INT8 packing of one site has one bit flipped; its emulation is untouched.
class FaultyBackend final : public CpuBackend {
 public:
  FaultyBackend(const Kernels& kernels, Fault fault) : CpuBackend(kernels), fault_(fault) {}

  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override {
    if (linear.name != kFaultySite) return CpuBackend::PackInt8(linear, group);
    QuantizedLinear faulty = linear;
    if (fault_ == Fault::kWeight) faulty.weight.codes[77] ^= 0x04;
    if (fault_ == Fault::kScale) {
      float& scale = faulty.weight.scale.values[3];
      scale = std::bit_cast<float>(std::bit_cast<uint32_t>(scale) ^ 0x00010000u);
    }
    if (fault_ == Fault::kColumnSum) faulty.weight.code_sum[5] ^= 0x10;
    if (fault_ == Fault::kDoubledScales) {
      for (float& scale : faulty.weight.scale.values) scale *= 2;
    }
    return CpuBackend::PackInt8(faulty, group);
  }

 private:
  const Fault fault_;
};

Experiment PlanUnderTest(const Graph& graph,
                         AttentionPrecision attention = AttentionPrecision::kFp32) {
  const std::vector<std::string> sites = graph.Sites();
  Experiment experiment = SweepExperiment(sites, {}, {}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(sites), std::nullopt, FakeFlavour::kIdeal, attention);
  return experiment;
}

struct Checked {
  Checks checks;
  std::map<RunBlock, RoutingChange> changes;  // empty without experts
};

Checked RunChecks(const Graph& graph, const Weights& weights, const Kernels& kernels, Fault fault,
                  AttentionPrecision attention = AttentionPrecision::kFp32) {
  const Experiment experiment = PlanUnderTest(graph, attention);
  MadeImages images(graph.config, kImages);
  CheckTap checks(experiment, 2);
  RoutingTap routing(2);
  const std::array<Tap*, 2> taps{&checks, &routing};
  RunnerOptions options{
      .threads = 2, .batch = 2, .memory_bytes = 1 << 20, .make_backend = {}, .progress = {}};
  options.make_backend = [&] { return std::make_unique<FaultyBackend>(kernels, fault); };
  RunArms(graph, weights, experiment.runs, images, taps, options);
  return {checks.Take(), routing.Take().changes};
}

Checks RunChecks(const Kernels& kernels, Fault fault,
                 AttentionPrecision attention = AttentionPrecision::kFp32) {
  const Session session = MadeSession("check_tap");
  return RunChecks(session.graph, *session.weights, kernels, fault, attention).checks;
}

// INT8 attention of the set under test, but for one bit of each head's first value.
const AttentionKernel* honest_attention = nullptr;
void RunFaultyHead(const AttentionHeadArgs& args) {
  honest_attention->run_head(args);
  args.out->bits ^= 1;
}

class CheckEveryKernelSet : public testing::TestWithParam<Kernels> {
 protected:
  // Expects mismatches at the faulty place and at no other; the encoder's outputs may differ.
  void ExpectFoundAtItsSiteOnly(const Checks& checks, const std::string& faulty = kFaultySite) {
    uint64_t found = 0;
    for (const auto& [key, counts] : checks) {
      if (key.place == "outputs") continue;
      if (key.place == faulty) {
        found += counts.mismatches();
      } else {
        EXPECT_EQ(counts.mismatches(), 0u) << "counted at " << key.place;
      }
    }
    EXPECT_GT(found, 0u);
  }
};

TEST_P(CheckEveryKernelSet, Int8AttentionIsCheckedAndOtherIsNot) {
  const Checks checks = RunChecks(GetParam(), Fault::kNone, AttentionPrecision::kInt8);
  ASSERT_EQ(checks.size(), 8u + 2u);  // attention beside what there is without it
  for (const auto& [key, counts] : checks) {
    EXPECT_EQ(counts.mismatches(), 0u) << key.place;
    if (key.place != "attention") continue;
    // Of two blocks with 16 tokens and the pooling head with one, width 64.
    EXPECT_EQ(counts.outputs_compared, (2u * 16u + 1u) * 64u * kImages);
  }
  EXPECT_EQ(RunChecks(GetParam(), Fault::kNone, AttentionPrecision::kBf16).size(), 8u + 1u);
}

TEST_P(CheckEveryKernelSet, AWrongBitOfInt8AttentionIsFoundThere) {
  constexpr auto kInt8 = static_cast<size_t>(AttentionPrecision::kInt8);
  honest_attention = GetParam().floats->attention[kInt8];
  const AttentionKernel faulty = {.name = "faulty",
                                  .scratch_bytes = honest_attention->scratch_bytes,
                                  .run_head = RunFaultyHead};
  FloatKernels floats = *GetParam().floats;
  floats.attention[kInt8] = &faulty;
  Kernels kernels = GetParam();
  kernels.floats = &floats;
  ExpectFoundAtItsSiteOnly(RunChecks(kernels, Fault::kNone, AttentionPrecision::kInt8),
                           "attention");
}

TEST_P(CheckEveryKernelSet, EmulatedEqualsInt8InEveryNumberOfEverySiteAndOutput) {
  const Checks checks = RunChecks(GetParam(), Fault::kNone);
  ASSERT_EQ(checks.size(), 8u + 1u);  // 2 blocks x 4 sites, and the outputs
  for (const auto& [key, counts] : checks) {
    EXPECT_EQ(counts.mismatches(), 0u) << key.place;
    EXPECT_GT(counts.outputs_compared, 0u) << key.place;
    if (key.place == "outputs") continue;
    // 16 tokens of 6 images, one scale each; all codes 0 apart.
    EXPECT_EQ(counts.scales_compared, 16u * kImages) << key.place;
    EXPECT_EQ(counts.int32_compared, counts.outputs_compared) << key.place;
    EXPECT_GT(counts.codes_compared, 0u) << key.place;
    EXPECT_EQ(counts.code_differences[0], counts.codes_compared) << key.place;
  }
}

TEST_P(CheckEveryKernelSet, FindsOneFlippedBitOfOnePackedWeight) {
  ExpectFoundAtItsSiteOnly(RunChecks(GetParam(), Fault::kWeight));
}

TEST_P(CheckEveryKernelSet, FindsOneFlippedBitOfOneScale) {
  ExpectFoundAtItsSiteOnly(RunChecks(GetParam(), Fault::kScale));
}

TEST_P(CheckEveryKernelSet, FindsOneFlippedBitOfOneColumnSum) {
  ExpectFoundAtItsSiteOnly(RunChecks(GetParam(), Fault::kColumnSum));
}

TEST_P(CheckEveryKernelSet, FindsAFaultAtItsSiteOnlyWhereTheExpertsBehindItGetOtherTokens) {
  const MadeMixture mixture(MadeMixtureConfig());
  const Checked checked =
      RunChecks(mixture.graph, mixture.weights, GetParam(), Fault::kDoubledScales);
  ExpectFoundAtItsSiteOnly(checked.checks);
  const Experiment experiment = PlanUnderTest(mixture.graph);
  EXPECT_NE(checked.changes.at({experiment.twins[0].int8, 1}).changed,
            checked.changes.at({experiment.twins[0].emulated, 1}).changed);
}

TEST_P(CheckEveryKernelSet, ShowsTheDamageOfAFaultInTheOutputs) {
  const Checks checks = RunChecks(GetParam(), Fault::kWeight);
  uint64_t damaged = 0;
  for (const auto& [key, counts] : checks) {
    if (key.place == "outputs") damaged += counts.output_mismatches;
  }
  EXPECT_GT(damaged, 0u);
}

INSTANTIATE_TEST_SUITE_P(KernelSets, CheckEveryKernelSet, testing::ValuesIn(SetsOfThisMachine()),
                         [](const auto& set) { return std::string(set.param.name); });

}  // namespace
}  // namespace w8a8::test
