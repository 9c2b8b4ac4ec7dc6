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
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {5.0f, kNoClip}}, FakeFlavour::kIdeal);
  EXPECT_EQ(RowNames(experiment),
            (std::vector<std::string>{"fp16", "fake/per-token/5", "int8/per-token/5",
                                      "fake/per-token/inf", "int8/per-token/inf"}));
}

TEST(Experiment, RunsAPlanOnceThatIsAlsoASweepPoint) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.RunOf("int8/plan"), experiment.RunOf("int8/per-token/inf"));
  EXPECT_EQ(experiment.runs.size(), 5u);  // fp16, fake, int8, its weights alone, emulated
  ASSERT_EQ(experiment.twins.size(), 1u);
  EXPECT_EQ(experiment.twins[0].int8, experiment.RunOf("int8/plan"));
  EXPECT_EQ(experiment.runs[experiment.twins[0].emulated].precision, Precision::kEmulated);
}

TEST(Experiment, NeedsNoChosenPlan) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.ChosenRow(Precision::kInt8), nullptr);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.ChosenRow(Precision::kInt8)->name, "int8/plan");
  EXPECT_EQ(experiment.ChosenRun(Precision::kFake), experiment.RunOf("fake/plan"));
}

TEST(Experiment, LeavesOutFakePointsThatTheFlavourRefuses) {
  const Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kVllmStatic);
  EXPECT_EQ(RowNames(experiment), (std::vector<std::string>{"fp16", "int8/per-token/inf"}));
}

// All sites end at 3: the points 5 and inf are one computation, of two rows that say what was
// asked.
TEST(Experiment, RunsPerTensorPointsBeyondEverySitesAbsMaxOnce) {
  const std::vector<Half> row(4, ToHalf(-3.0f));
  SiteStatistics of_site(4, 1);
  of_site.Observe(RowKeys(1, std::string(64, 'a')), {row.data(), 1, 4, 4});
  SiteStatisticsMap statistics;
  for (const std::string& site : kSites) statistics.emplace(site, of_site);
  const Experiment experiment = SweepExperiment(
      kSites, statistics, {{Granularity::kTensor}, {2.0f, 5.0f, kNoClip}}, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.rows.size(), 7u);
  for (const std::string kind : {"fake", "int8"}) {
    const auto run = [&](const char* clip) {
      return experiment.RunOf(kind + "/per-tensor/" + clip);
    };
    EXPECT_EQ(run("5"), run("inf"));
    EXPECT_NE(run("2"), run("5"));
  }
}

const SitePlan& FirstSiteOf(const Experiment& experiment, const char* arm) {
  return experiment.runs[experiment.RunOf(arm)].plan.sites.at(kSites[0]);
}

TEST(Experiment, MakesWeightsAsToldInEveryArmOfTheSweepButInNoScheme) {
  const SweepPoints points{.granularities = {Granularity::kToken},
                           .clip_ranges = {kNoClip},
                           .schemes = {{"w8a8-token", PerTokenPlan(kSites)}}};
  const Experiment experiment =
      SweepExperiment(kSites, {}, points, FakeFlavour::kIdeal, {.bits = 4});
  for (const char* arm : {"fake/per-token/inf", "int8/per-token/inf"}) {
    EXPECT_EQ(FirstSiteOf(experiment, arm).weight->num_bits, 4) << arm;
  }
  EXPECT_EQ(FirstSiteOf(experiment, "int8/w8a8-token").weight->num_bits, 8);
}

TEST(Weights, BitsLeaveAPlansOwnAloneAndAConventionIsForAllQuantizedWeights) {
  Plan mixed = PerTokenPlan(kSites);
  mixed.sites[kSites[0]].weight->num_bits = 3;
  mixed.sites["float"] = {.input = std::nullopt, .weight = std::nullopt};
  const Plan plan = WithWeights(mixed, {.bits = 4, .convention = WeightConvention::kVllm});
  EXPECT_EQ(plan.sites.at(kSites[0]).weight->num_bits, 3);
  EXPECT_EQ(plan.sites.at(kSites[1]).weight->num_bits, 4);
  EXPECT_EQ(plan.sites.at(kSites[1]).weight->convention, WeightConvention::kVllm);
  EXPECT_FALSE(plan.sites.at("float").weight);
  EXPECT_EQ(WithWeights(mixed, {}), mixed);
}

TEST(Experiment, RunsEachSchemeAsFakeAndAsInt8UnderItsName) {
  const Plan weight_only = WeightOnly(PerTokenPlan(kSites));
  const Experiment experiment =
      SweepExperiment(kSites, {}, {.schemes = {{"w8a16", weight_only}}}, FakeFlavour::kIdeal);
  EXPECT_EQ(RowNames(experiment), (std::vector<std::string>{"fp16", "fake/w8a16", "int8/w8a16"}));
  const ArmRow& row = experiment.rows.back();
  EXPECT_EQ(row.scheme, "w8a16");
  EXPECT_EQ(row.granularity, InputScaling::kPlan);
  EXPECT_EQ(experiment.runs[row.run].plan, weight_only);
}

TEST(Experiment, LeavesOutFakeSchemesThatTheFlavourCannotRun) {
  Plan static_input = PerTokenPlan(kSites), groups = static_input;
  for (const std::string& site : kSites) {
    static_input.sites[site].input = Quantizer::Static(0.5f);
    groups.sites[site].weight = WeightSpec{.granularity = Granularity::kGroup, .group_size = 8};
  }
  const SweepPoints points{
      .schemes = {{"token", PerTokenPlan(kSites)}, {"tensor", static_input}, {"groups", groups}}};
  const auto fakes = [&](FakeFlavour flavour) {
    std::string names;
    for (const std::string& name : RowNames(SweepExperiment(kSites, {}, points, flavour))) {
      if (name.starts_with("fake/")) names += name.substr(5) + " ";
    }
    return names;
  };
  EXPECT_EQ(fakes(FakeFlavour::kIdeal), "token tensor groups ");
  EXPECT_EQ(fakes(FakeFlavour::kLlmAwq), "token tensor ");
  EXPECT_EQ(fakes(FakeFlavour::kVllmStatic), "tensor ");
}

TEST(Experiment, HasTheWeightsOfTheChosenPlanAloneAndWatchesEachRunOnce) {
  Plan plan = PerTokenPlan(kSites);
  plan.sites[kSites[0]].first_row_twice = true;
  plan.sites[kSites[0]].output = Quantizer::Static(0.5f);
  plan.sites[kSites[0]].weight->num_bits = 4;
  Experiment experiment;
  AddChosenPlan(experiment, plan, std::nullopt, FakeFlavour::kIdeal);
  SitePlan alone;
  alone.input.reset();
  alone.weight->num_bits = 4;
  EXPECT_EQ(FirstSiteOf(experiment, kWeightOnlyArm), alone);
  EXPECT_EQ(experiment.RunsOfPlan(),
            (std::vector<size_t>{experiment.RunOf("fake/plan"), experiment.RunOf("int8/plan"),
                                 experiment.RunOf(kWeightOnlyArm)}));
}

TEST(Experiment, AWeightOnlyPlanIsItsWeightsAlone) {
  Experiment experiment;
  AddChosenPlan(experiment, WeightOnly(PerTokenPlan(kSites)), std::nullopt, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.RunOf("int8/plan"), experiment.RunOf(kWeightOnlyArm));
  EXPECT_EQ(experiment.RunsOfPlan().size(), 2u);  // fake and int8
}

TEST(Experiment, TheChecksWatchACopyOfASchemesRunSoThatItsTimeIsItsOwn) {
  const SweepPoints points{.granularities = {Granularity::kToken},
                           .clip_ranges = {kNoClip},
                           .schemes = {{"w8a8-token", PerTokenPlan(kSites)}}};
  Experiment experiment = SweepExperiment(kSites, {}, points, FakeFlavour::kIdeal);
  EXPECT_EQ(experiment.RunOf("int8/w8a8-token"), experiment.RunOf("int8/per-token/inf"));
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal);
  ASSERT_EQ(experiment.twins.size(), 1u);
  const size_t watched = experiment.twins.front().int8;
  EXPECT_EQ(watched, experiment.RunOf("int8/plan"));
  EXPECT_EQ(watched, experiment.RunOf("int8/per-token/inf"));
  EXPECT_NE(watched, experiment.RunOf("int8/w8a8-token"));
  EXPECT_EQ(experiment.runs[watched].plan, PerTokenPlan(kSites));
}

Experiment SweptAndChosen(const std::vector<float>& clip_ranges) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, clip_ranges}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal);
  return experiment;
}

TEST(Experiment, TakesTheChosenPlansTimeFromAnotherPointOfTheSweep) {
  Experiment experiment = SweptAndChosen({5.0f, kNoClip});
  const size_t runs = experiment.runs.size();
  AddTimedRun(experiment);
  EXPECT_EQ(experiment.runs.size(), runs);
  EXPECT_EQ(TimedRun(experiment), experiment.RunOf("int8/per-token/5"));
}

TEST(Experiment, RunsTheChosenPlanOnceMoreWhereOnlyTheWatchedRunTakesItsSteps) {
  Experiment experiment = SweptAndChosen({kNoClip});
  const std::vector<std::string> rows = RowNames(experiment);
  EXPECT_EQ(TimedRun(experiment), std::nullopt);
  AddTimedRun(experiment);
  const std::optional<size_t> timed = TimedRun(experiment);
  ASSERT_EQ(timed, experiment.runs.size() - 1);
  EXPECT_NE(*timed, experiment.twins.front().int8);
  EXPECT_EQ(experiment.runs[*timed].plan, PerTokenPlan(kSites));
  EXPECT_EQ(RowNames(experiment), rows);
  const size_t runs = experiment.runs.size();
  AddTimedRun(experiment);
  EXPECT_EQ(experiment.runs.size(), runs);
}

TEST(Experiment, TakesNoTimeOfNoPlan) {
  Experiment experiment =
      SweepExperiment(kSites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal);
  const size_t runs = experiment.runs.size();
  AddTimedRun(experiment);
  EXPECT_EQ(TimedRun(experiment), std::nullopt);
  EXPECT_EQ(experiment.runs.size(), runs);
}

TEST(Experiment, ProvesEachSchemeOnce) {
  Plan narrow = PerTokenPlan(kSites);
  narrow.sites[kSites[0]].weight->num_bits = 4;
  const SweepPoints points{
      .granularities = {},
      .clip_ranges = {},
      .schemes = {
          {"w8a8-token", PerTokenPlan(kSites)}, {"narrow", narrow}, {"w8a16", WeightOnly(narrow)}}};
  Experiment experiment = SweepExperiment(kSites, {}, points, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(kSites), std::nullopt, FakeFlavour::kIdeal);
  AddTwinsOfSchemes(experiment);
  std::vector<std::string> twins;
  for (const TwinRuns& twin : experiment.twins) {
    twins.push_back(experiment.runs[twin.emulated].name);
    EXPECT_TRUE(experiment.runs[twin.emulated].plan == experiment.runs[twin.int8].plan);
    EXPECT_NE(twin.int8, experiment.RunOf("int8/w8a8-token"));
    EXPECT_NE(twin.int8, experiment.RunOf("int8/narrow"));
  }
  EXPECT_EQ(twins,
            (std::vector<std::string>{"emulated/plan", "emulated/narrow", "emulated/w8a16"}));
}

TEST(Experiment, AttentionIsThatOfEveryQuantizedArmButOfTheWeightsAlone) {
  const SweepPoints points{.granularities = {Granularity::kToken},
                           .clip_ranges = {kNoClip},
                           .schemes = {{"w8a16", WeightOnly(PerTokenPlan(kSites))}}};
  constexpr auto kInt8 = AttentionPrecision::kInt8;
  Experiment experiment = SweepExperiment(kSites, {}, points, FakeFlavour::kIdeal, {}, kInt8);
  AddChosenPlan(experiment, PerTokenPlan(kSites), PerTokenPlan(kSites, 5.0f), FakeFlavour::kIdeal,
                kInt8);
  AddTwinsOfSchemes(experiment);
  for (const ArmRow& row : experiment.rows) {
    const bool as_reference = row.name == "fp16" || row.part;
    EXPECT_EQ(AttentionOf(experiment.runs[row.run]),
              as_reference ? AttentionPrecision::kFp32 : kInt8)
        << row.name;
  }
  EXPECT_NE(experiment.RunOf(kWeightOnlyArm), experiment.RunOf("int8/w8a16"));
}

TEST(SameSteps, IsBlindToClipRangesAndStaticScalesOnly) {
  const Plan plan = PerTokenPlan(kSites);
  Plan narrow = plan;
  narrow.sites[kSites[0]].weight->num_bits = 4;
  EXPECT_TRUE(SameSteps(plan, PerTokenPlan(kSites, 5.0f)));
  EXPECT_FALSE(SameSteps(plan, narrow));
  EXPECT_FALSE(SameSteps(plan, WeightOnly(plan)));
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
