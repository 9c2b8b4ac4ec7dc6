// Taps over a mixture of experts: what comes to an expert differs from image to image and from arm
// to arm, one expert gets nothing at all, and no result depends on how the images are run.
#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <map>
#include <mutex>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "calib/stats_file.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/feature_tap.h"
#include "eval/measure/statistics_tap.h"
#include "runtime/base/atomic_file.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/arms/made_mixture.h"
#include "tests/arms/made_session.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 7;
constexpr uint64_t kMuchMemory = uint64_t{1} << 30;

struct Way {
  std::string name;
  int threads = 1;
  int64_t batch = 1;
  uint64_t memory_bytes = kMuchMemory;
  std::vector<int64_t> order = {};  // empty: ascending
};

const std::vector<Way>& Ways() {
  static const std::vector<Way> ways = {
      {.name = "one by one"},
      {.name = "batch 3, two threads", .threads = 2, .batch = 3},
      {.name = "all at once", .batch = 32},
      {.name = "chunks of one image", .threads = 2, .memory_bytes = 1},
      {.name = "shuffled", .threads = 2, .batch = 2, .order = {4, 1, 0, 6, 3, 2, 5}},
  };
  return ways;
}

RunnerOptions OptionsOf(const Way& way) {
  return {.threads = way.threads,
          .batch = way.batch,
          .memory_bytes = way.memory_bytes,
          .make_backend = [] { return MakeCpuBackend(""); },
          .progress = {}};
}

std::map<std::string, SiteStatistics> Calibrated(const MadeMixture& mixture, const Way& way,
                                                 std::vector<int64_t> images = {}) {
  if (images.empty()) images = way.order;
  MadeImages source(mixture.graph.config, kImages, images);
  StatisticsTap tap(mixture.graph, way.threads, /*seed=*/3, Observed::kInputsAndOutputs);
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&tap};
  RunArms(mixture.graph, mixture.weights, {&reference, 1}, source, taps, OptionsOf(way));
  return tap.Take();
}

std::filesystem::path StatsFile(std::map<std::string, SiteStatistics> sites) {
  std::filesystem::path path = ScratchFolder("mixture_statistics") / "stats.h5";
  WriteStats(path, {.header = {.model_sha256 = std::string(64, '0'),
                               .preprocessing_sha256 = std::string(64, '0'),
                               .images = {}},
                    .sites = std::move(sites)});
  return path;
}

std::string BytesOf(std::map<std::string, SiteStatistics> sites) {
  return ReadFile(StatsFile(std::move(sites)));
}

TEST(MixtureStatistics, AreEqualBytesForAnyOrderBatchThreadsAndChunk) {
  for (const EncoderConfig& config : {MadeMixtureConfig(), MadeGatedMixtureConfig()}) {
    const MadeMixture mixture(config);
    const std::string expected = BytesOf(Calibrated(mixture, Ways()[0]));
    for (const Way& way : Ways()) {
      EXPECT_TRUE(BytesOf(Calibrated(mixture, way)) == expected) << way.name;
    }
  }
}

TEST(MixtureStatistics, OfTwoHalvesMergedAreThoseOfOneRun) {
  const MadeMixture mixture(MadeMixtureConfig());
  std::map<std::string, SiteStatistics> merged = Calibrated(mixture, Ways()[1], {5, 0, 3});
  MergeSites(Calibrated(mixture, Ways()[1], {6, 2, 4, 1}), &merged);
  EXPECT_TRUE(BytesOf(merged) == BytesOf(Calibrated(mixture, Ways()[0])));
}

TEST(MixtureStatistics, CountEveryTokenAtTheExpertsThatItChoseAndAtItsPlace) {
  const MadeMixture mixture(MadeMixtureConfig());
  const auto sites = Calibrated(mixture, Ways()[1]);
  for (int64_t block = 0; block < 2; ++block) {
    for (const char* layer : {".fc1", ".fc2"}) {
      std::vector<uint64_t> of_position(kMixtureTokens);
      std::set<uint64_t> rows;
      for (int64_t e = 0; e < mixture.graph.config.mixture.experts; ++e) {
        const SiteStatistics& site = sites.at(SiteName(block, ExpertStem(e) + layer));
        for (size_t t = 0; t < of_position.size(); ++t) of_position[t] += site.position_count[t];
        rows.insert(site.Rows());
      }
      EXPECT_EQ(of_position, std::vector<uint64_t>(kMixtureTokens, 2 * kImages)) << layer;
      EXPECT_GT(rows.size(), 2u) << "all experts got the same: nothing was routed";
    }
  }
}

TEST(MixtureStatistics, OfAnExpertThatNoTokenChoseAreThereAndZeroAlsoInTheFile) {
  const MadeMixture mixture(MadeMixtureConfig());
  const auto sites = Calibrated(mixture, Ways()[1]);
  ASSERT_EQ(sites.size(), mixture.graph.Sites().size());
  ASSERT_EQ(mixture.UnreachedSites().size(), 4u);
  const CalibrationStats read = ReadStats(StatsFile(sites));
  for (const std::string& name : mixture.UnreachedSites()) {
    const SiteStatistics& site = read.sites.at(name);
    EXPECT_EQ(site.Rows(), 0u) << name;
    EXPECT_EQ(site.channels(), mixture.graph.InputsOf(name)) << name;
    EXPECT_EQ(site.tokens(), kMixtureTokens) << name;
    EXPECT_EQ(site.histogram.Total(), 0u) << name;
    ASSERT_TRUE(site.outputs) << name;
    EXPECT_EQ(site.outputs->Total(), 0u) << name;
    EXPECT_EQ(site.rows.size(), 0) << name;
  }
  EXPECT_TRUE(BytesOf(read.sites) == BytesOf(sites));
}

// Both halves of every site, also of the unreached ones, by a scheme that needs no statistics.
Evaluation Evaluated(const MadeMixture& mixture, const Way& way, std::vector<int64_t> images = {}) {
  if (images.empty()) images = way.order;
  const std::vector<std::string> sites = mixture.graph.Sites();
  Experiment experiment =
      SweepExperiment(sites, {}, {{Granularity::kToken}, {1.0f}}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(sites, 2.0f), std::nullopt, FakeFlavour::kIdeal);
  // A run of its own that computes what the reference does.
  experiment.AddRow({.name = "int8/none", .precision = Precision::kInt8, .plan = {}}, {});
  MadeImages source(mixture.graph.config, kImages, images);
  return Evaluate(mixture.graph, mixture.weights, experiment, source, Task{}, OptionsOf(way));
}

template <class Result>
std::string FileBytes(const Result& result) {
  const std::filesystem::path path = ScratchFolder("mixture_results") / "result.h5";
  ResultWriter writer(path);
  SaveResult(writer, "/result", result);
  writer.Commit();
  EXPECT_TRUE(LoadResult<Result>(ResultReader(path), "/result") == result);
  return ReadFile(path);
}

struct Results {
  explicit Results(const Evaluation& evaluation)
      : outputs(FileBytes(evaluation.outputs)),
        sites(FileBytes(evaluation.sites)),
        checks(FileBytes(evaluation.checks)),
        details(FileBytes(evaluation.details)),
        routing(FileBytes(evaluation.routing)) {}

  std::string outputs, sites, checks, details, routing;
};

void ExpectEqual(const Results& expected, const Results& actual, const std::string& way) {
  EXPECT_TRUE(expected.outputs == actual.outputs) << way;
  EXPECT_TRUE(expected.sites == actual.sites) << way;
  EXPECT_TRUE(expected.checks == actual.checks) << way;
  EXPECT_TRUE(expected.details == actual.details) << way;
  EXPECT_TRUE(expected.routing == actual.routing) << way;
}

TEST(MixtureResults, AreEqualForAnyOrderBatchThreadsAndChunk) {
  for (const EncoderConfig& config : {MadeMixtureConfig(), MadeGatedMixtureConfig()}) {
    const MadeMixture mixture(config);
    const Results expected(Evaluated(mixture, Ways()[0]));
    for (const Way& way : Ways()) {
      ExpectEqual(expected, Results(Evaluated(mixture, way)), way.name);
    }
  }
}

TEST(MixtureResults, OfTwoHalvesMergedAreThoseOfOneRun) {
  const MadeMixture mixture(MadeMixtureConfig());
  Evaluation merged = Evaluated(mixture, Ways()[1], {5, 0, 3});
  const Evaluation second = Evaluated(mixture, Ways()[1], {6, 2, 4, 1});
  MergeResult(merged.outputs, second.outputs);
  MergeResult(merged.sites, second.sites);
  MergeResult(merged.checks, second.checks);
  MergeResult(merged.details, second.details);
  MergeResult(merged.routing, second.routing);
  ExpectEqual(Results(Evaluated(mixture, Ways()[0])), Results(merged), "merged");
}

TEST(MixtureResults, EmulatedEqualsInt8AtEverySiteThatGotRowsAndNothingIsComparedElsewhere) {
  for (const EncoderConfig& config : {MadeMixtureConfig(), MadeGatedMixtureConfig()}) {
    const MadeMixture mixture(config);
    const Evaluation evaluation = Evaluated(mixture, Ways()[1]);
    const size_t emulated = evaluation.experiment.RunOf("emulated/plan");
    std::set<std::string> checked;
    for (const auto& [key, checks] : evaluation.checks) {
      if (key.run != emulated || key.place == "outputs") continue;
      EXPECT_EQ(checks.mismatches(), 0u) << key.place;
      EXPECT_GT(checks.int32_compared, 0u) << key.place;
      EXPECT_GT(checks.codes_compared, 0u) << key.place;
      EXPECT_GT(checks.outputs_compared, 0u) << key.place;
      checked.insert(key.place);
    }
    std::vector<std::string> rest = mixture.UnreachedSites();
    for (const std::string& site : mixture.graph.Sites()) {
      EXPECT_NE(checked.contains(site), std::ranges::find(rest, site) != rest.end()) << site;
    }
  }
}

// Owners of every expert's rows, and the experts of every token, by arm; images by their number.
class OwnersTap final : public Tap {
 public:
  using Owner = std::pair<std::string, int64_t>;  // image and token

  bool WantsLinear(int, const std::string&) const override { return true; }
  void OnLinear(LinearEvent& event) override {
    const std::lock_guard lock(mutex);
    for (const RowOwner& owner : event.owners) {
      const SampleKey& sample = *event.samples[static_cast<size_t>(owner.sample)].key;
      owners[{event.arm, *event.site}].insert({sample.image.name, owner.token});
    }
  }

  std::mutex mutex;
  std::map<std::pair<int, std::string>, std::set<Owner>> owners;
};

class MixtureOwners : public testing::Test {
 protected:
  MixtureOwners() : mixture_(MadeMixtureConfig()), evaluation_(Evaluated(mixture_, Ways()[1])) {
    MadeImages source(mixture_.graph.config, kImages);
    const std::array<Tap*, 1> taps{&tap_};
    RunArms(mixture_.graph, mixture_.weights, evaluation_.experiment.runs, source, taps,
            OptionsOf(Ways()[0]));
  }

  const std::set<OwnersTap::Owner>& Owners(size_t run, const std::string& site) {
    return tap_.owners[{static_cast<int>(run), site}];
  }
  std::string Fc1(int64_t block, int64_t expert) const {
    return SiteName(block, ExpertStem(expert) + ".fc1");
  }

  // (image, token) pairs, each as often as it is in a set, whose experts differ from arm 0's.
  uint64_t Changed(size_t run, int64_t block) {
    std::set<OwnersTap::Owner> changed;
    for (int64_t e = 0; e < mixture_.graph.config.mixture.experts; ++e) {
      const auto& before = Owners(0, Fc1(block, e));
      const auto& after = Owners(run, Fc1(block, e));
      std::ranges::set_symmetric_difference(before, after, std::inserter(changed, changed.end()));
    }
    return changed.size();
  }

  const MadeMixture mixture_;
  const Evaluation evaluation_;
  OwnersTap tap_;
};

uint64_t ComparedBy(const ErrorMeter& meter) {
  uint64_t compared = 0;
  for (const ImageError& record : meter.records()) {
    EXPECT_GT(record.compared, 0u);
    compared += record.compared + record.nonfinite;
  }
  return compared;
}

TEST_F(MixtureOwners, TeacherForcedRowsAreTheReferencesAndPropagatedOnesThoseOfBoth) {
  const size_t int8 = evaluation_.experiment.RunOf("int8/plan");
  uint64_t lost = 0;
  for (const Node& node : mixture_.graph.nodes) {
    if (node.site.empty() || !mixture_.graph.IsRouted(node.site)) continue;
    const auto& expected = Owners(0, node.site);
    const auto& actual = Owners(int8, node.site);
    std::vector<OwnersTap::Owner> both;
    std::ranges::set_intersection(expected, actual, std::back_inserter(both));
    lost += expected.size() - both.size();
    const auto cols = static_cast<uint64_t>(mixture_.graph.slot(node.out).cols);
    const auto forced = evaluation_.sites.find({int8, View::kTeacherForced, node.site});
    const auto propagated = evaluation_.sites.find({int8, View::kPropagated, node.site});
    ASSERT_EQ(forced == evaluation_.sites.end(), expected.empty()) << node.site;
    ASSERT_EQ(propagated == evaluation_.sites.end(), both.empty()) << node.site;
    if (expected.empty()) continue;
    EXPECT_EQ(ComparedBy(forced->second.output), cols * expected.size()) << node.site;
    if (both.empty()) continue;
    EXPECT_EQ(ComparedBy(propagated->second.output), cols * both.size()) << node.site;
    EXPECT_EQ(ComparedBy(propagated->second.input),
              static_cast<uint64_t>(mixture_.graph.InputsOf(node.site)) * both.size())
        << node.site;
  }
  EXPECT_GT(lost, 0u) << "both arms routed alike: nothing was tested";
}

TEST_F(MixtureOwners, RoutingChangesAreTheTokensWhoseExpertsDiffer) {
  const auto& changes = evaluation_.routing.changes;
  for (size_t run = 1; run < evaluation_.experiment.runs.size(); ++run) {
    for (int64_t block = 0; block < 2; ++block) {
      const RoutingChange& change = changes.at({run, block});
      EXPECT_EQ(change.tokens, static_cast<uint64_t>(kImages * kMixtureTokens));
      EXPECT_EQ(change.changed, Changed(run, block)) << evaluation_.experiment.runs[run].name;
    }
  }
  EXPECT_GT(changes.at({evaluation_.experiment.RunOf("int8/plan"), 1}).changed, 0u);
  EXPECT_EQ(changes.at({evaluation_.experiment.RunOf("int8/none"), 1}).changed, 0u);
}

TEST_F(MixtureOwners, CoverageCountsTheReferencesTokensAndImages) {
  const auto coverage = CoverageOf(evaluation_.routing);
  ASSERT_EQ(coverage.size(), 2u);
  for (const auto& [block, experts] : coverage) {
    ASSERT_EQ(experts.size(), 5u);
    for (int64_t e = 0; e < 5; ++e) {
      const ExpertCoverage& seen = experts[static_cast<size_t>(e)];
      const auto& owners = Owners(0, Fc1(block, e));
      std::set<std::string> images;
      for (const auto& [image, token] : owners) images.insert(image);
      EXPECT_EQ(seen.tokens, owners.size()) << block << " " << e;
      EXPECT_EQ(seen.images, images.size()) << block << " " << e;
      EXPECT_EQ(seen.all_tokens, static_cast<uint64_t>(kImages * kMixtureTokens));
    }
    EXPECT_EQ(experts[kUnreachedExpert].tokens, 0u);
  }
}

TEST(MixtureRouting, PaddingIsNeitherCountedNorChanged) {
  RoutingTap tap(1);
  const std::vector<Sample> samples = {
      {std::make_shared<const SampleKey>(SampleKey{.image = {.sha256 = "", .name = "a"}})}};
  constexpr float kNone = kNotRouted;
  const std::vector<float> expected = {0.5f, 0.5f, kNone, kNone, kNone, kNone, kNone, 0.0f, 1.0f};
  const std::vector<float> actual = {0.5f, kNone, 0.5f, kNone, kNone, kNone, kNone, 0.3f, 0.7f};
  for (int arm = 0; arm < 2; ++arm) {
    const std::vector<float>& weights = arm == 0 ? expected : actual;
    tap.OnRouting({.worker = 0,
                   .arm = arm,
                   .block = 4,
                   .samples = samples,
                   .weights = {weights.data(), 3, 3, 3}});
  }
  const RoutingTap::Result result = tap.Take();
  EXPECT_EQ(result.changes.at({1, 4}), (RoutingChange{.tokens = 2, .changed = 1}));
  const std::vector<ExpertCoverage> coverage = CoverageOf(result).at(4);
  EXPECT_EQ(coverage[0].tokens, 1u);
  EXPECT_EQ(coverage[1].tokens, 2u) << "a weight of 0 still runs and counts";
  EXPECT_EQ(coverage[2].tokens, 1u);
  EXPECT_EQ(coverage[0].all_tokens, 2u);
}

TEST(MixtureFeatures, KeepImagesAndTokensWithZerosWhereTheExpertDidNotRun) {
  const MadeMixture mixture(MadeMixtureConfig());
  std::set<std::string> sites;
  for (const std::string& site : mixture.graph.Sites()) sites.insert(site);
  FeatureStore store;
  const Arm arm{
      .name = "int8", .precision = Precision::kInt8, .plan = PerTokenPlan(mixture.graph.Sites())};
  FeatureTap features(mixture.graph, arm, {.layers = {}, .sites = sites}, &store);
  OwnersTap seen;
  MadeImages listed(mixture.graph.config, kImages);
  while (const auto image = listed.Next()) store.AddSample(image->key);
  MadeImages source(mixture.graph.config, kImages);
  const std::array<Tap*, 2> taps{&features, &seen};
  RunArms(mixture.graph, mixture.weights, {&arm, 1}, source, taps, OptionsOf(Ways()[1]));
  const std::filesystem::path path = ScratchFolder("mixture_features") / "features.safetensors";
  SafetensorsWriter writer;
  store.AddTo(writer);
  writer.Write(path);
  const SafetensorsFile file(path);
  for (int64_t e = 0; e < mixture.graph.config.mixture.experts; ++e) {
    const std::string site = SiteName(1, ExpertStem(e) + ".fc1");
    const TensorView& input = file.Get("taps." + site + ".input");
    ASSERT_EQ(input.shape, (std::vector<int64_t>{kImages, kMixtureTokens, 48})) << site;
    const std::vector<float> values = FloatValues(input);
    for (size_t row = 0; row < kImages * kMixtureTokens; ++row) {
      const OwnersTap::Owner owner{fmt::format("a{:02}.png", row / kMixtureTokens),
                                   static_cast<int64_t>(row % kMixtureTokens)};
      const bool runs = seen.owners[{0, site}].contains(owner);
      // Channel 0 behind the norm is 8 for every token.
      EXPECT_EQ(values[row * 48], runs ? 8.0f : 0.0f) << site << " " << row;
    }
    EXPECT_EQ(file.Get("routing.1.experts").shape,
              (std::vector<int64_t>{kImages, kMixtureTokens, 2}));
    EXPECT_EQ(file.Get("taps." + site + ".codes").shape, input.shape) << site;
    EXPECT_EQ(file.Get("taps." + site + ".acc").shape.front(), kImages) << site;
  }
}

}  // namespace
}  // namespace w8a8::test
