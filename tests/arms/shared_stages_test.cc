// Arms share stages while their steps are equal, and nobody can tell from any value.
#include "eval/run/shared_stages.h"

#include <array>
#include <map>
#include <mutex>
#include <tuple>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/run/runner.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/arms/made_session.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 3;
constexpr int64_t kBlocks = 12;

Session TwelveBlocks(const std::string& name) {
  EncoderConfig config = TinySiglip();
  config.blocks = kBlocks;
  const std::filesystem::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder, config, Dtype::kF32, /*seed=*/1);
  return SessionOf(folder);
}

Arm ArmOf(Precision precision, Plan plan, FakeFlavour flavour = FakeFlavour::kIdeal) {
  return {.name = "", .precision = precision, .plan = std::move(plan), .flavour = flavour};
}

Plan Without(Plan plan, const std::string& site) {
  plan.sites.erase(site);
  return plan;
}

// The reference, every site in INT8, and every site but one.
std::vector<Arm> AllButOne(const std::vector<std::string>& sites) {
  const Plan all = PerTokenPlan(sites);
  std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, all)};
  for (const std::string& site : sites) {
    arms.push_back(ArmOf(Precision::kInt8, Without(all, site)));
  }
  return arms;
}

// Everything that an arm shows of an image, as text: by arm, what it is, and where.
class RecordingTap final : public Tap {
 public:
  using Key = std::tuple<int, std::string, int>;  // arm, site or output, stage

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return true; }
  void OnLinear(LinearEvent& event) override {
    Append({event.arm, *event.site + " in", event.stage}, event.input);
    Append({event.arm, *event.site, event.stage}, event.output);
  }
  void OnStream(const StreamEvent& event) override {
    Append({event.arm, "stream", event.stage}, event.half);
  }
  void OnOutputs(const OutputEvent& event) override {
    Append({event.arm, "tokens", 0}, event.tokens);
    Append({event.arm, "pooled", 0}, event.pooled);
  }

  std::map<Key, std::vector<Half>> values;

 private:
  void Append(const Key& key, MatView<const Half> view) {
    values[key].insert(values[key].end(), view.data, view.data + view.rows * view.cols);
  }
};

struct Recording {
  std::map<RecordingTap::Key, std::vector<Half>> values;
  RunnerResult run;
};

Recording Record(const Session& session, std::span<const Arm> arms) {
  RecordingTap tap;
  const std::array<Tap*, 1> taps{&tap};
  MadeImages images(session.config, kImages);
  RunnerOptions options{.threads = 1,
                        .batch = 2,
                        .memory_bytes = uint64_t{1} << 30,
                        .make_backend = session.make_backend,
                        .progress = {}};
  for (size_t arm = 0; arm < arms.size(); ++arm) options.site_seconds_of.push_back(arm);
  RunnerResult run = RunArms(session.graph, *session.weights, arms, images, taps, options);
  return {std::move(tap.values), std::move(run)};
}

double Forwards(const Session& session, int64_t stages_run) {
  return static_cast<double>(stages_run) / static_cast<double>(session.graph.stages.size());
}

TEST(SharedStages, AllButOnePlansTakeAtMostSixTenthsOfTheForwardsAndGiveEqualValues) {
  const Session session = TwelveBlocks("shared_stages");
  const std::vector<Arm> arms = AllButOne(session.graph.Sites());
  ASSERT_EQ(arms.size(), 2u + 4u * kBlocks);
  const Recording shared = Record(session, arms);
  int64_t unshared_stages = 0;
  std::map<RecordingTap::Key, std::vector<Half>> unshared;
  for (size_t a = 0; a < arms.size(); ++a) {
    Recording alone = Record(session, {&arms[a], 1});
    unshared_stages += alone.run.stages_run;
    for (auto& [key, values] : alone.values) {
      unshared[{static_cast<int>(a), std::get<1>(key), std::get<2>(key)}] = std::move(values);
    }
  }
  EXPECT_EQ(Forwards(session, unshared_stages), static_cast<double>(arms.size() * kImages));
  EXPECT_LE(Forwards(session, shared.run.stages_run), 0.6 * Forwards(session, unshared_stages));
  ASSERT_EQ(shared.values.size(), unshared.size());
  for (const auto& [key, values] : unshared) {
    EXPECT_TRUE(shared.values.at(key) == values)
        << "arm " << std::get<0>(key) << ", " << std::get<1>(key) << ", stage " << std::get<2>(key);
  }
}

TEST(SharedStages, TimeOfASharedStageCountsForEveryArmThatSharesIt) {
  const Session session = MadeSession("shared_stages_time");
  const std::vector<std::string> sites = session.graph.Sites();
  const Plan all = PerTokenPlan(sites);
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, all),
                                 ArmOf(Precision::kInt8, all),
                                 ArmOf(Precision::kInt8, Without(all, sites.back()))};
  const RunnerResult run = Record(session, arms).run;
  EXPECT_EQ(run.arm_seconds[1], run.arm_seconds[2]);
  EXPECT_GT(run.arm_seconds[3], 0.0);
  // The second arm ran nothing of its own, and what the others ran together is counted once.
  EXPECT_LT(run.seconds, run.arm_seconds[0] + run.arm_seconds[1] + run.arm_seconds[3]);
}

TEST(SiteSeconds, ArePartsOfTheArmsTime) {
  const Session session = MadeSession("site_seconds");
  const std::vector<std::string> sites = session.graph.Sites();
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}),
                                 ArmOf(Precision::kInt8, PerTokenPlan(sites)),
                                 ArmOf(Precision::kFake, PerTokenPlan(sites))};
  const RunnerResult run = Record(session, arms).run;
  ASSERT_EQ(run.site_seconds.size(), arms.size());
  for (size_t a = 0; a < arms.size(); ++a) {
    double sum = 0;
    for (const std::string& site : sites) {
      EXPECT_GT(run.site_seconds[a].at(site), 0.0) << arms[a].name << " " << site;
      sum += run.site_seconds[a].at(site);
    }
    EXPECT_LT(sum, run.arm_seconds[a]) << arms[a].name;
  }
}

// The leaders of the four stages (embedding, two blocks, outputs) of TinySiglip.
std::vector<Leaders> LeadersOf(std::span<const Arm> arms, std::vector<bool> traced = {}) {
  traced.resize(arms.size());
  return LeadersOfStages(BuildGraph(TinySiglip(), SlotStorage::kHalf), arms, traced);
}

std::vector<std::string> TinySites() {
  return BuildGraph(TinySiglip(), SlotStorage::kHalf).Sites();
}

TEST(Leaders, ArmsPartAtTheFirstSiteThatTheirPlansTreatDifferently) {
  const Plan all = PerTokenPlan(TinySites());
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, all),
                                 ArmOf(Precision::kInt8, Without(all, "blocks.1.mlp.fc1")),
                                 ArmOf(Precision::kInt8, Without(all, "blocks.0.mlp.fc1")),
                                 ArmOf(Precision::kInt8, Without(all, "blocks.1.mlp.fc1"))};
  EXPECT_EQ(
      LeadersOf(arms),
      (std::vector<Leaders>{{0, 0, 0, 0, 0}, {0, 1, 1, 3, 1}, {0, 1, 2, 3, 2}, {0, 1, 2, 3, 2}}));
}

TEST(Leaders, AnArmThatPartedNeverComesBack) {
  const Plan first{{{"blocks.0.mlp.fc1", SitePlan{}}}};
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, first)};
  EXPECT_EQ(LeadersOf(arms), (std::vector<Leaders>{{0, 0}, {0, 1}, {0, 1}, {0, 1}}));
}

TEST(Leaders, AnArmWithoutPlannedSitesIsTheReference) {
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, {})};
  for (const Leaders& leaders : LeadersOf(arms)) EXPECT_EQ(leaders, (Leaders{0, 0}));
}

TEST(Leaders, NoTwoWaysOfComputingOnePlanShareIt) {
  const Plan all = PerTokenPlan(TinySites());
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, all),
                                 ArmOf(Precision::kEmulated, all), ArmOf(Precision::kFake, all),
                                 ArmOf(Precision::kFake, all, FakeFlavour::kLlmAwq)};
  EXPECT_EQ(LeadersOf(arms).front(), (Leaders{0, 0, 0, 0, 0}));
  EXPECT_EQ(LeadersOf(arms).back(), (Leaders{0, 1, 2, 3, 4}));
}

TEST(Leaders, AnyDifferenceOfASitesPlanPartsTheArms) {
  const std::string site = "blocks.0.attn.qkv";
  const Plan plan{{{site, SitePlan{}}}};
  Plan clipped = plan, narrow = plan, smooth = plan;
  clipped.sites[site].input->clip_range = 5.0f;
  narrow.sites[site].weight->num_bits = 4;
  smooth.sites[site].smoothing = {2.0f};
  const std::vector<Arm> arms = {ArmOf(Precision::kFake, plan), ArmOf(Precision::kFake, clipped),
                                 ArmOf(Precision::kFake, narrow), ArmOf(Precision::kFake, smooth)};
  EXPECT_EQ(LeadersOf(arms).back(), (Leaders{0, 1, 2, 3}));
}

// A static scale's clip range says where the scale comes from; vllm-static clamps to it.
TEST(Leaders, PointsOfOneStaticScaleAreOneWhereTheArithmeticReadsNoClipRange) {
  const std::string site = "blocks.0.attn.qkv";
  const auto point = [&](float scale, float clip_range) {
    SitePlan plan;
    plan.input = Quantizer::Static(scale, clip_range);
    return Plan{{{site, plan}}};
  };
  const Plan beyond = point(0.05f, 10.0f), unclipped = point(0.05f, kNoClip),
             clipped = point(0.04f, 5.08f);
  for (const Precision precision : {Precision::kInt8, Precision::kEmulated, Precision::kFake}) {
    const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(precision, beyond),
                                   ArmOf(precision, unclipped), ArmOf(precision, clipped)};
    EXPECT_EQ(LeadersOf(arms).back(), (Leaders{0, 1, 1, 3}));
    EXPECT_TRUE(SameComputation(arms[1], arms[2]));
    EXPECT_FALSE(SameComputation(arms[1], arms[3]));
  }
  for (const FakeFlavour flavour : {FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}),
                                   ArmOf(Precision::kFake, beyond, flavour),
                                   ArmOf(Precision::kFake, unclipped, flavour)};
    EXPECT_EQ(LeadersOf(arms).back(), (Leaders{0, 1, 2}));
    EXPECT_FALSE(SameComputation(arms[1], arms[2]));
  }
}

Arm Attending(AttentionPrecision attention, Precision precision, Plan plan = {}) {
  Arm arm = ArmOf(precision, std::move(plan));
  arm.attention = attention;
  return arm;
}

TEST(Leaders, ArmsOfDifferentAttentionPartAtTheFirstBlock) {
  const Plan last{{{"blocks.1.mlp.fc2", SitePlan{}}}};
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}),
                                 Attending(AttentionPrecision::kBf16, Precision::kInt8, last),
                                 Attending(AttentionPrecision::kInt8, Precision::kInt8, last),
                                 Attending(AttentionPrecision::kInt8, Precision::kFake, last),
                                 Attending(AttentionPrecision::kInt8, Precision::kFp16)};
  const std::vector<Leaders> leaders = LeadersOf(arms);
  EXPECT_EQ(leaders[0], (Leaders{0, 0, 0, 0, 0})) << "the embedding has no attention";
  EXPECT_EQ(leaders[1], (Leaders{0, 1, 2, 2, 0})) << "the reference's is always fp32";
  EXPECT_EQ(leaders[2], (Leaders{0, 1, 2, 3, 0}));
}

TEST(Leaders, AnEmulatedArmHasInt8AttentionOfItsOwn) {
  for (const AttentionPrecision attention :
       {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
    const std::vector<Arm> arms = {Attending(attention, Precision::kInt8),
                                   Attending(attention, Precision::kEmulated)};
    const bool defined = attention == AttentionPrecision::kInt8;
    EXPECT_EQ(LeadersOf(arms).back(), (Leaders{0, defined ? size_t{1} : size_t{0}}))
        << NameOf(attention);
  }
}

TEST(Leaders, AnArmThatIsReadBackIsNotSharedWithOneThatIsNot) {
  const Plan all = PerTokenPlan(TinySites());
  const std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kInt8, all),
                                 ArmOf(Precision::kInt8, all), ArmOf(Precision::kInt8, all)};
  EXPECT_EQ(LeadersOf(arms, {false, false, true, true}),
            (std::vector<Leaders>{{0, 0, 0, 0}, {0, 1, 2, 2}, {0, 1, 2, 2}, {0, 1, 2, 2}}));
}

}  // namespace
}  // namespace w8a8::test
