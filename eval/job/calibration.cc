#include "eval/job/calibration.h"

#include <array>
#include <utility>

#include "eval/export/export_quantized.h"
#include "eval/job/progress.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/site_replay.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

// The clip rule of least error at each site, on the statistics' own sample of rows.
TensorPlan BestTensorPlan(const Session& session, const SiteStatisticsMap& statistics,
                          const Options& options) {
  const std::vector<std::string> sites = session.graph.Sites();
  const std::unique_ptr<Backend> backend = session.make_backend();
  Progress progress("plan", "sites", static_cast<double>(sites.size()), options.quiet);
  std::unique_ptr<SiteReplay> replay;
  std::string replayed;
  RowSample::Sorted sample;
  double done = 0;
  return BestPerTensorPlan(sites, statistics, [&](const std::string& site, const Quantizer& spec) {
    if (site != replayed) {
      const SiteStatistics& seen = statistics.at(site);
      sample = seen.rows.InOrder();
      const MatView<const Half> rows{sample.rows.data(), static_cast<int64_t>(sample.keys.size()),
                                     seen.channels(), seen.channels()};
      replay = std::make_unique<SiteReplay>(*session.weights, *backend, site, rows);
      replayed = site;
      ThrowIfInterrupted();
      progress.Update(++done);
    }
    return replay->TeacherForcedError(spec);
  });
}

}  // namespace

CalibrationStats Calibrate(const Session& session, LoaderSource& images,
                           const Preprocessing& preprocessing, const Options& options,
                           double expected_images) {
  RunnerOptions runner = session.Runner(options);
  Progress progress("calibrate", "images", expected_images, options.quiet);
  StatisticsTap statistics(session.graph, runner.threads, options.seed);
  runner.progress = [&](double done) { progress.Update(done, statistics.LargestText()); };
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&statistics};
  const RunnerResult run =
      RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, runner);
  if (run.images == 0) {
    Fail("--images {}: not one image could be read. preprocess --images shows why.",
         options.images);
  }
  CalibrationStats stats;
  stats.header.model_sha256 = session.weights->sha256();
  stats.header.preprocessing_sha256 = preprocessing.sha256;
  stats.header.residual = ResidualName(session.graph);
  stats.header.seed = options.seed;
  stats.header.images = EntriesOf(images.used());
  stats.sites = statistics.Take();
  return stats;
}

void CheckStatsFit(const StatsHeader& header, const std::string& file, const Session& session,
                   const std::string& preprocessing_sha256) {
  const std::string& model_sha256 = session.weights->sha256();
  const std::string residual = ResidualName(session.graph);
  if (header.model_sha256 != model_sha256) {
    Fail("{}: statistics of another model (sha256 {}, this one {}). Calibrate this model.", file,
         header.model_sha256, model_sha256);
  }
  if (!preprocessing_sha256.empty() && header.preprocessing_sha256 != preprocessing_sha256) {
    Fail(
        "{}: statistics of images prepared in another way (sha256 {}, here {}). Use the same "
        "preprocessing config and --resampler, or calibrate again.",
        file, header.preprocessing_sha256, preprocessing_sha256);
  }
  if (header.residual != residual) {
    Fail(
        "{}: statistics of a reference with --residual {}, but --residual is {} here. Give the "
        "same, or calibrate again.",
        file, header.residual, residual);
  }
}

ChosenPlan ChoosePlan(const Session& session, const Options& options,
                      const SiteStatisticsMap* statistics) {
  const std::vector<std::string> sites = session.graph.Sites();
  if (!options.plan.empty()) {
    if (options.granularity || options.clip_range) {
      FailUsage(
          "--plan {}: a plan says granularity and clip range itself; leave --granularity and "
          "--clip-range out.",
          options.plan);
    }
    const PlanFile file = ReadPlan(options.plan, KnownSites(session.graph));
    // The plan beside a quantized model names the model that both were made from.
    const EncoderWeights& weights = *session.weights;
    if (file.model_sha256 != weights.source_sha256()) {
      CheckPlanModel(file, options.plan, weights.sha256());
    }
    return {file.plan, {}};
  }
  if (session.weights->quantized() && !options.granularity && !options.clip_range) {
    return {StoredPlan(*session.weights, session.graph), {}};
  }
  if (options.granularity.value_or(Granularity::kToken) == Granularity::kToken) {
    return {PerTokenPlan(sites, options.clip_range.value_or(kNoClip)), {}};
  }
  if (statistics == nullptr) {
    FailUsage(
        "--granularity per-tensor: static scales come from calibration; give --plan FILE, or "
        "make one with: w8a8-calib plan --model DIR --stats stats.h5 --granularity per-tensor "
        "--out plan.json.");
  }
  TensorPlan made = options.clip_range ? PerTensorPlan(sites, *statistics, *options.clip_range)
                                       : BestTensorPlan(session, *statistics, options);
  return {std::move(made.plan), std::move(made.choices)};
}

std::vector<KnownSite> KnownSites(const Graph& graph) {
  std::vector<KnownSite> known;
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    known.push_back({node.site, graph.slots[static_cast<size_t>(node.in)].cols});
  }
  return known;
}

PlanFile ToPlanFile(const Session& session, const Plan& plan) {
  return {.model_sha256 = session.weights->sha256(), .plan = plan};
}

std::vector<HealthNote> HealthOf(const Session& session, const SiteStatisticsMap& statistics,
                                 const Plan& plan) {
  std::vector<HealthNote> notes;
  for (const std::string& site : session.graph.Sites()) {
    const auto found = statistics.find(site);
    if (found == statistics.end()) continue;
    const NonFiniteCounts nonfinite = found->second.histogram.NonFinite();
    if (nonfinite.nan + nonfinite.inf > 0) {
      notes.push_back({.level = "warning",
                       .site = site,
                       .text = fmt::format("{} NaN and {} infinite inputs while calibrating: the "
                                           "FP16 reference overflowed.",
                                           nonfinite.nan, nonfinite.inf)});
    }
    if (!plan.sites.contains(site)) {
      notes.push_back({.level = "note", .site = site, .text = "stays FP16 under the plan."});
    }
  }
  return notes;
}

}  // namespace w8a8
