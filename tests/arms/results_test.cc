// What every tap measured, as a value: two halves of the images merged are one run, in any order,
// and what was loaded is what was saved.
#include <array>
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>

#include "calib/stats_file.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/statistics_tap.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "tests/arms/made_session.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

const std::vector<int64_t> kAll = {0, 1, 2, 3, 4, 5, 6}, kFirst = {5, 0, 3}, kSecond = {6, 2, 4, 1};

RunnerOptions TwoWorkers(const Session& session) {
  return {.threads = 2,
          .batch = 2,
          .memory_bytes = uint64_t{1} << 30,
          .make_backend = session.make_backend,
          .progress = {}};
}

// The pooled output of TinySiglip is ranked by its cosine with three classes.
Task ThreeClasses() {
  Task task;
  task.classes.emplace();
  task.classes->names = {"a", "b", "c"};
  task.classes->width = 64;
  for (uint64_t i = 0; i < 3 * 64; ++i) task.classes->rows.push_back(HashUniform(9, i));
  task.classes->lengths = {1.0, 1.0, 1.0};
  task.accepted = {{"a00.png", {1}}, {"a03.png", {0, 2}}};
  return task;
}

Evaluation Evaluated(const std::vector<int64_t>& images) {
  const Session session = MadeSession("results");
  const std::vector<std::string> sites = session.graph.Sites();
  Experiment experiment =
      SweepExperiment(sites, {}, {{Granularity::kToken}, {2.0f}}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(sites), std::nullopt, FakeFlavour::kIdeal);
  MadeImages source(session.config, 0, images, /*tiled=*/true);
  return Evaluate(session.graph, *session.weights, experiment, source, ThreeClasses(),
                  TwoWorkers(session));
}

// The result of calibration has a file of its own, stats.h5.
struct Statistics {
  std::map<std::string, SiteStatistics> sites;

  void Merge(const Statistics& other) { MergeSites(other.sites, &sites); }
  std::string Bytes() const {
    const std::filesystem::path path = ScratchFolder("results_statistics") / "stats.h5";
    WriteStats(path, {.header = {.model_sha256 = std::string(64, '0'),
                                 .preprocessing_sha256 = std::string(64, '0'),
                                 .images = {}},
                      .sites = sites});
    return ReadFile(path);
  }
  friend bool operator==(const Statistics& a, const Statistics& b) {
    return a.sites.empty() == b.sites.empty() && (a.sites.empty() || a.Bytes() == b.Bytes());
  }
};

Statistics Calibrated(const std::vector<int64_t>& images) {
  const Session session = MadeSession("results");
  MadeImages source(session.config, 0, images, /*tiled=*/true);
  StatisticsTap tap(session.graph, 2, /*seed=*/3);
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&tap};
  RunArms(session.graph, *session.weights, {&reference, 1}, source, taps, TwoWorkers(session));
  return {tap.Take()};
}

template <class Result>
Result ResultOf(const std::vector<int64_t>& images) {
  if constexpr (std::is_same_v<Result, Statistics>) {
    return Calibrated(images);
  } else {
    Evaluation evaluation = Evaluated(images);
    if constexpr (std::is_same_v<Result, OutputTap::Result>) return evaluation.outputs;
    if constexpr (std::is_same_v<Result, SiteErrors>) return evaluation.sites;
    if constexpr (std::is_same_v<Result, Checks>) return evaluation.checks;
    if constexpr (std::is_same_v<Result, SiteDetails>) return evaluation.details;
    if constexpr (std::is_same_v<Result, Answers>) return evaluation.answers;
  }
}

template <class Result>
void Save(const std::filesystem::path& path, const Result& result) {
  if constexpr (std::is_same_v<Result, Statistics>) {
    WriteFileAtomically(path, result.Bytes());
  } else {
    ResultWriter writer(path);
    SaveResult(writer, "/result", result);
    writer.Commit();
  }
}

template <class Result>
Result Load(const std::filesystem::path& path) {
  if constexpr (std::is_same_v<Result, Statistics>) {
    return {ReadStats(path).sites};
  } else {
    return LoadResult<Result>(ResultReader(path), "/result");
  }
}

template <class Result>
class ResultOfATap : public testing::Test {};

using AllResults =
    testing::Types<OutputTap::Result, SiteErrors, Checks, SiteDetails, Answers, Statistics>;
TYPED_TEST_SUITE(ResultOfATap, AllResults);

TYPED_TEST(ResultOfATap, OfTwoHalvesMergedIsThatOfOneRun) {
  const TypeParam whole = ResultOf<TypeParam>(kAll);
  const TypeParam first = ResultOf<TypeParam>(kFirst), second = ResultOf<TypeParam>(kSecond);
  EXPECT_FALSE(first == whole);
  TypeParam forwards, backwards;
  MergeResult(forwards, first);
  MergeResult(forwards, second);
  MergeResult(backwards, second);
  MergeResult(backwards, first);
  EXPECT_TRUE(forwards == whole);
  EXPECT_TRUE(backwards == whole);
}

TYPED_TEST(ResultOfATap, LoadedIsWhatWasSaved) {
  const std::filesystem::path folder = ScratchFolder("results_files");
  const TypeParam result = ResultOf<TypeParam>(kFirst);
  ASSERT_FALSE(result == TypeParam{});
  Save(folder / "saved.h5", result);
  const TypeParam loaded = Load<TypeParam>(folder / "saved.h5");
  EXPECT_TRUE(loaded == result);
  Save(folder / "again.h5", loaded);
  EXPECT_TRUE(ReadFile(folder / "again.h5") == ReadFile(folder / "saved.h5"));
}

TYPED_TEST(ResultOfATap, OfNothingIsLoadedAsNothing) {
  if (std::is_same_v<TypeParam, Statistics>) return;  // stats.h5 is never without sites
  const std::filesystem::path path = ScratchFolder("results_empty") / "nothing.h5";
  Save(path, TypeParam{});
  EXPECT_TRUE(Load<TypeParam>(path) == TypeParam{});
}

TEST(Results, AnImageThatTwoOfThemMeasuredIsRefused) {
  OutputTap::Result first = ResultOf<OutputTap::Result>({0, 1});
  const OutputTap::Result second = ResultOf<OutputTap::Result>({1, 2});
  EXPECT_TRUE(Contains(ErrorOf([&] { MergeResult(first, second); }), "image 'a01.png' (view 0"));
}

struct Damage {
  std::string name;
  std::function<void(ResultWriter&)> write;
  std::string message;
};

TEST(Results, AFileThatContradictsItselfIsRefused) {
  const auto answers = [](ResultWriter& writer, std::vector<uint64_t> sizes,
                          std::vector<std::string> names) {
    const std::vector<int64_t> zeros(names.size(), 0);
    writer.file().Write("/result/size", sizes);
    writer.file().WriteStrings("/result/key/sha256", names);
    writer.file().WriteStrings("/result/key/name", names);
    writer.file().Write("/result/key/copy", zeros);
    writer.file().Write("/result/value/reference", zeros);
    writer.file().Write("/result/value/arm", zeros);
  };
  const std::vector<Damage> damages = {
      {"order",
       [&](ResultWriter& w) {
         answers(w, {2}, {"b", "a"});
       },
       "do not ascend"},
      {"twice",
       [&](ResultWriter& w) {
         answers(w, {2}, {"a", "a"});
       },
       "do not ascend"},
      {"more",
       [&](ResultWriter& w) {
         answers(w, {3}, {"a", "b"});
       },
       "pass its entries"},
      {"fewer",
       [&](ResultWriter& w) {
         answers(w, {1}, {"a", "b"});
       },
       "entries of no map"},
      {"two",
       [&](ResultWriter& w) {
         answers(w, {1, 1}, {"a", "b"});
       },
       "shape"},
  };
  for (const Damage& damage : damages) {
    const std::filesystem::path path = ScratchFolder("results_damaged") / (damage.name + ".h5");
    ResultWriter writer(path);
    damage.write(writer);
    writer.Commit();
    const std::string error = ErrorOf([&] { Load<Answers>(path); });
    EXPECT_TRUE(Contains(error, damage.message)) << damage.name << ": " << error;
  }
}

TEST(Results, ASampleThatTheFileDoesNotKnowIsRefused) {
  const std::filesystem::path path = ScratchFolder("results_sample") / "file.h5";
  ResultWriter writer(path);
  writer.file().Write("/sample", std::vector<uint32_t>{7});
  writer.Commit();
  const ResultReader reader(path);
  EXPECT_TRUE(Contains(ErrorOf([&] { LoadResult<SamplePtr>(reader, "/sample"); }),
                       "names sample 7, but there are 0"));
}

TEST(Results, AnotherProgramsFileIsRefused) {
  const std::filesystem::path path = ScratchFolder("results_other") / "other.h5";
  Hdf5OutputFile file(path);
  file.Group("/samples");
  file.Commit();
  EXPECT_TRUE(Contains(ErrorOf([&] { ResultReader{path}; }), "not a file of results"));
}

}  // namespace
}  // namespace w8a8::test
