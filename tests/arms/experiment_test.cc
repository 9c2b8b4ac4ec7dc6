#include "eval/measure/experiment.h"

#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "eval/run/runner.h"
#include "tests/arms/made_session.h"

namespace w8a8::test {
namespace {

const std::vector<std::string> kSites = {"blocks.0.attn.qkv", "blocks.0.mlp.fc2"};

std::vector<std::string> RowNames(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const ArmRow& row : experiment.rows) names.push_back(row.name);
  return names;
}

TEST(Experiment, SweepsEveryPointAsFakeAndAsInt8) {
  const Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {5.0f, kNoClip}}, FakeFlavour::kIdeal, 8);
  EXPECT_EQ(RowNames(experiment),
            (std::vector<std::string>{"fp16", "fake/per-token/5", "int8/per-token/5",
                                      "fake/per-token/inf", "int8/per-token/inf"}));
}

TEST(Experiment, RunsAPlanOnceThatIsAlsoASweepPoint) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal, 8);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal, 8);
  EXPECT_EQ(experiment.RunOf("int8/plan"), experiment.RunOf("int8/per-token/inf"));
  EXPECT_EQ(experiment.runs.size(), 4u);  // fp16, fake, int8, emulated
  ASSERT_EQ(experiment.twins.size(), 1u);
  EXPECT_EQ(experiment.twins[0].int8, experiment.RunOf("int8/plan"));
  EXPECT_EQ(experiment.runs[experiment.twins[0].emulated].precision, Precision::kEmulated);
}

TEST(Experiment, NeedsNoChosenPlan) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal, 8);
  EXPECT_EQ(experiment.ChosenRow(Precision::kInt8), nullptr);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal, 8);
  EXPECT_EQ(experiment.ChosenRow(Precision::kInt8)->name, "int8/plan");
  EXPECT_EQ(experiment.ChosenRun(Precision::kFake), experiment.RunOf("fake/plan"));
}

TEST(Experiment, LeavesOutFakePointsThatTheFlavourRefuses) {
  const Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kVllmStatic, 8);
  EXPECT_EQ(RowNames(experiment), (std::vector<std::string>{"fp16", "int8/per-token/inf"}));
}

TEST(Experiment, GivesWeightBitsToTheFakeArmsOnly) {
  const Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal, 4);
  const Plan& fake = experiment.runs[experiment.RunOf("fake/per-token/inf")].plan;
  const Plan& int8 = experiment.runs[experiment.RunOf("int8/per-token/inf")].plan;
  EXPECT_EQ(fake.sites.at(kSites[0]).weight->num_bits, 4);
  EXPECT_EQ(int8.sites.at(kSites[0]).weight->num_bits, 8);
}

TEST(Experiment, WeightBitsLeaveAPlansOwnAlone) {
  Plan mixed = PerTokenPlan(kSites);
  mixed.sites[kSites[0]].weight->num_bits = 3;
  Experiment experiment;
  AddChosenPlan(experiment, mixed, std::nullopt, FakeFlavour::kIdeal, 4);
  const Plan& fake = experiment.runs[experiment.RunOf("fake/plan")].plan;
  EXPECT_EQ(fake.sites.at(kSites[0]).weight->num_bits, 3);
  EXPECT_EQ(fake.sites.at(kSites[1]).weight->num_bits, 4);
}

// Keeps the tokens of every arm.
class KeepTokens final : public Tap {
 public:
  bool WantsLinear(int, const std::string&) const override { return false; }
  void OnOutputs(const OutputEvent& event) override {
    std::vector<Half>& kept = tokens[event.arm];
    kept.insert(kept.end(), event.tokens.data,
                event.tokens.data + event.tokens.rows * event.tokens.cols);
  }
  std::map<int, std::vector<Half>> tokens;
};

TEST(Runner, LetsAnArmShareTheReferenceUntilItsFirstPlannedBlock) {
  const Session session = MadeSession("sharing");
  Plan late;  // only block 1 is quantized: block 0 is the reference's
  late.sites["blocks.1.mlp.fc1"] = {};
  Plan all = PerTokenPlan(session.graph.Sites());
  const std::vector<Arm> arms = {{.name = "fp16", .precision = Precision::kFp16, .plan = {}},
                                 {.name = "int8/late", .precision = Precision::kInt8, .plan = late},
                                 {.name = "int8/all", .precision = Precision::kInt8, .plan = all},
                                 {.name = "int8/none", .precision = Precision::kInt8, .plan = {}}};
  const RunnerOptions options{.threads = 1,
                              .batch = 1,
                              .memory_bytes = 1 << 24,
                              .make_backend = session.make_backend,
                              .progress = {}};
  KeepTokens together;
  const std::array<Tap*, 1> taps{&together};
  MadeImages images(session.config, 2);
  RunArms(session.graph, *session.weights, arms, images, taps, options);
  for (size_t a = 1; a < arms.size(); ++a) {
    KeepTokens alone;  // as the only arm, with no reference to share
    const std::array<Tap*, 1> alone_taps{&alone};
    MadeImages again(session.config, 2);
    RunArms(session.graph, *session.weights, {&arms[a], 1}, again, alone_taps, options);
    EXPECT_TRUE(alone.tokens.at(0) == together.tokens.at(static_cast<int>(a))) << arms[a].name;
  }
  EXPECT_TRUE(together.tokens.at(3) == together.tokens.at(0))
      << "a plan of no site is the reference";
  EXPECT_FALSE(together.tokens.at(1) == together.tokens.at(0));
}

}  // namespace
}  // namespace w8a8::test
