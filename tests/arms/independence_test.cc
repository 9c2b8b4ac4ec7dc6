// No result depends on the order of the images, the batch, the threads or the chunk.
#include <array>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "calib/stats_file.h"
#include "eval/job/calibration.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/statistics_tap.h"
#include "runtime/base/atomic_file.h"
#include "tests/arms/made_session.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 9;

struct Way {
  std::string name;
  int threads;
  int64_t batch;
  uint64_t memory_bytes;
  std::vector<int64_t> order;  // empty: ascending
};

const std::vector<Way>& Ways() {
  constexpr uint64_t kMuch = uint64_t{1} << 30;
  static const std::vector<Way> ways = {
      {"one thread, one by one", 1, 1, kMuch, {}},
      {"two threads", 2, 1, kMuch, {}},
      {"batch 7", 1, 7, kMuch, {}},
      {"batch 32, two threads", 2, 32, kMuch, {}},
      {"chunks of one image", 2, 1, 1, {}},
      {"five threads for two batches", 5, 7, kMuch, {}},
      {"three threads for one image", 3, 1, 1, {}},
      {"shuffled", 2, 2, kMuch, {4, 8, 1, 0, 7, 3, 6, 2, 5}},
  };
  return ways;
}

RunnerOptions OptionsOf(const Way& way, const Session& session) {
  return {.threads = way.threads,
          .batch = way.batch,
          .memory_bytes = way.memory_bytes,
          .make_backend = session.make_backend,
          .progress = {}};
}

std::string StatsBytes(const Session& session, const Way& way, std::vector<int64_t> order,
                       const std::string& file, bool tiled = false) {
  const RunnerOptions options = OptionsOf(way, session);
  MadeImages images(session.config, kImages, order, tiled);
  StatisticsTap tap(session.graph, options.threads, /*seed=*/3);
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&tap};
  RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, options);
  CalibrationStats stats;
  stats.header = {.model_sha256 = session.weights->sha256(),
                  .preprocessing_sha256 = std::string(64, '0'),
                  .seed = 3,
                  .images = {}};
  MadeImages listed(session.config, kImages, order);
  while (const auto image = listed.Next()) {
    stats.header.images.push_back({image->key.image.sha256, image->key.image.name});
  }
  stats.sites = tap.Take();
  const std::filesystem::path path = ScratchFolder("independence") / file;
  WriteStats(path, stats);
  return ReadFile(path);
}

TEST(Statistics, AreEqualBytesForAnyOrderBatchThreadsAndChunk) {
  const Session session = MadeSession("independence_stats");
  const std::string expected = StatsBytes(session, Ways()[0], {}, "expected.h5");
  for (const Way& way : Ways()) {
    EXPECT_TRUE(StatsBytes(session, way, way.order, "actual.h5") == expected) << way.name;
  }
}

TEST(Statistics, OfTilesAreEqualBytesToo) {
  const Session session = MadeSession("independence_tiles");
  const std::string expected = StatsBytes(session, Ways()[0], {}, "expected.h5", /*tiled=*/true);
  for (const Way& way : Ways()) {
    EXPECT_TRUE(StatsBytes(session, way, way.order, "actual.h5", true) == expected) << way.name;
  }
  EXPECT_FALSE(StatsBytes(session, Ways()[0], {}, "whole.h5") == expected);
}

TEST(Statistics, DifferWhereOneImageIsMissing) {
  const Session session = MadeSession("independence_missing");
  EXPECT_FALSE(StatsBytes(session, Ways()[0], {0, 1, 2}, "three.h5") ==
               StatsBytes(session, Ways()[0], {0, 1}, "two.h5"));
}

// Every figure of an evaluation as text, in an order of its own.
std::string Figures(const Session& session, const Way& way, bool tiled = false) {
  const std::vector<std::string> sites = session.graph.Sites();
  Experiment experiment =
      SweepExperiment(sites, {}, {{Granularity::kToken}, {2.0f, kNoClip}}, FakeFlavour::kIdeal);
  AddChosenPlan(experiment, PerTokenPlan(sites), std::nullopt, FakeFlavour::kIdeal);
  MadeImages images(session.config, kImages, way.order, tiled);
  const Task no_labels;
  const Evaluation evaluation = Evaluate(session.graph, *session.weights, experiment, images,
                                         no_labels, OptionsOf(way, session));
  std::string text;
  EXPECT_EQ(evaluation.run.images, kImages);
  EXPECT_EQ(evaluation.run.samples, tiled ? 2 * kImages : kImages);
  for (const auto& [key, meter] : evaluation.outputs.meters) {
    EXPECT_EQ(meter.ByImage().size(), size_t{kImages});
    const OutputErrors errors = meter.Estimates(1);
    text += fmt::format("{} {} {} {} {} {}\n", key.run, key.place, errors.sqnr_db.value,
                        errors.sqnr_db.low, errors.cosine_mean.value, errors.max_abs.value);
  }
  for (const auto& [key, meters] : evaluation.sites) {
    const ErrorSummary summary = meters.output.Summarize();
    text += fmt::format("{} {} {} {} {}\n", key.run, key.site, summary.sqnr_db, summary.mean_error,
                        summary.saturation);
  }
  return text;
}

TEST(Evaluation, GivesEqualFiguresForAnyOrderBatchThreadsAndChunk) {
  const Session session = MadeSession("independence_figures");
  const std::string expected = Figures(session, Ways()[0]);
  EXPECT_FALSE(expected.empty());
  for (const Way& way : Ways()) EXPECT_EQ(Figures(session, way), expected) << way.name;
}

TEST(Evaluation, OfTilesGivesEqualFiguresToo) {
  const Session session = MadeSession("independence_tile_figures");
  const std::string expected = Figures(session, Ways()[0], /*tiled=*/true);
  EXPECT_NE(expected, Figures(session, Ways()[0]));
  for (const Way& way : Ways()) EXPECT_EQ(Figures(session, way, true), expected) << way.name;
}

}  // namespace
}  // namespace w8a8::test
