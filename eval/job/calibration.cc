#include "eval/job/calibration.h"

#include <array>
#include <utility>

#include "eval/job/progress.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/known_sites.h"
#include "eval/run/site_replay.h"
#include "eval/run/stored_plan.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

// The clip rule of least error at each site, on the statistics' own sample of rows.
TensorPlan BestTensorPlan(const Session& session, const SiteStatisticsMap& statistics,
                          ProgressLines lines) {
  const std::vector<std::string> sites = session.graph.Sites();
  const std::unique_ptr<Backend> backend = session.make_backend();
  Progress progress("plan", "sites", static_cast<double>(sites.size()), lines);
  std::unique_ptr<SiteReplay> replay;
  std::string replayed;
  RowSample::Sorted sample;
  double done = 0;
  return BestPerTensorPlan(sites, statistics, [&](const std::string& site, const SitePlan& plan) {
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
    return replay->TeacherForcedError(plan);
  });
}

}  // namespace

CalibrationStats Calibrate(const Session& session, LoaderSource& images,
                           const Preprocessing& preprocessing, const RunSettings& run) {
  RunnerOptions runner = session.Runner(run);
  Progress progress("calibrate", "images", images.expected(), run.progress);
  StatisticsTap statistics(session.graph, run.threads, run.seed);
  runner.progress = [&](double done) { progress.Update(done, statistics.LargestText()); };
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&statistics};
  const RunnerResult seen =
      RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, runner);
  if (seen.images == 0) FailNoneRead("calibration images", images.skipped());
  CalibrationStats stats;
  stats.header.model_sha256 = session.weights->sha256();
  stats.header.preprocessing_sha256 = preprocessing.sha256;
  stats.header.residual = ResidualName(session.graph);
  stats.header.seed = run.seed;
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
        "preprocessing config and resampler, or calibrate again.",
        file, header.preprocessing_sha256, preprocessing_sha256);
  }
  if (header.residual != residual) {
    FailWith({Setting::kResidual, header.residual},
             "{}: statistics of a reference whose residual is {}, but it is {} here. Calibrate "
             "again, or take the same.",
             file, header.residual, residual);
  }
}

ChosenPlan ChoosePlan(const Session& session, const PlanSettings& settings, const RunSettings& run,
                      const SiteStatisticsMap* statistics) {
  const bool asked = settings.granularity || settings.clip_range;
  if (!settings.file.empty()) {
    W8A8_CHECK(!asked);
    const PlanFile file = ReadPlan(settings.file, KnownSites(session.graph));
    // The plan beside a quantized model names the model that both were made from.
    const EncoderWeights& weights = *session.weights;
    if (file.model_sha256 != weights.source_sha256()) {
      CheckPlanModel(file, settings.file, weights.sha256());
    }
    return {file.plan, {}};
  }
  if (session.weights->quantized() && !asked) {
    return {StoredPlan(*session.weights, session.graph), {}};
  }
  const std::vector<std::string> sites = session.graph.Sites();
  if (settings.granularity.value_or(Granularity::kToken) == Granularity::kToken) {
    Plan plan = PerTokenPlan(sites, settings.clip_range.value_or(kNoClip));
    return {WithStoredWeights(std::move(plan), *session.weights), {}};
  }
  W8A8_CHECK(statistics != nullptr);
  TensorPlan made = settings.clip_range ? PerTensorPlan(sites, *statistics, *settings.clip_range)
                                        : BestTensorPlan(session, *statistics, run.progress);
  return {WithStoredWeights(std::move(made.plan), *session.weights), std::move(made.choices)};
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
