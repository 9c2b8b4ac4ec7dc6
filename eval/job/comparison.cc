#include "eval/job/comparison.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/core.h>

#include "eval/job/progress.h"
#include "eval/job/report_builder.h"
#include "eval/job/site_cards.h"
#include "eval/job/summary.h"
#include "eval/job/worst_images.h"
#include "eval/measure/evaluate.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

Experiment BuildExperiment(const Session& session, const Options& options,
                           const ComparisonInput& input) {
  const std::vector<std::string> sites = session.graph.Sites();
  const SiteStatisticsMap empty;
  const SiteStatisticsMap& statistics = input.stats == nullptr ? empty : input.stats->sites;
  Experiment experiment =
      SweepExperiment(sites, statistics, input.points, options.fake, options.weight_bits);
  std::optional<Plan> per_tensor;
  if (input.stats != nullptr) {
    per_tensor = SweepPlan(sites, statistics, Granularity::kTensor, kNoClip);
  }
  AddChosenPlan(experiment, input.chosen.plan, per_tensor, options.fake, options.weight_bits);
  return experiment;
}

std::vector<SkippedFile> SkippedFiles(const std::vector<SkippedImage>& before,
                                      const std::vector<SkippedImage>& evaluating) {
  std::vector<SkippedFile> files;
  for (const SkippedImage& image : before) files.push_back({image.file, image.reason});
  for (const SkippedImage& image : evaluating) files.push_back({image.file, image.reason});
  return files;
}

ReportContext BuildContext(const Session& session, const Preprocessing& preprocessing,
                           const Options& options, const ComparisonInput& input,
                           const LoaderSource& images) {
  std::vector<ImageEntry> all = EntriesOf(images.used());
  ReportContext context;
  if (input.stats != nullptr) {
    const std::vector<ImageEntry>& calibrated = input.stats->header.images;
    context.calibration_images = calibrated.size();
    all.insert(all.end(), calibrated.begin(), calibrated.end());
    context.health = HealthOf(session, input.stats->sites, input.chosen.plan);
  }
  context.model_name = session.config.name;
  context.preprocessing = preprocessing.description;
  context.preprocessing_sha256 = preprocessing.sha256;
  context.evaluation_images = images.used().size();
  context.image_set_sha256 = ImageSetSha256(std::move(all));
  context.evaluated_on = input.evaluated_on;
  context.plan_sha256 =
      PlanSha256(ToPlanFile(session, input.chosen.plan), KnownSites(session.graph));
  if (options.min_agreement) context.thresholds.min_agreement = *options.min_agreement;
  context.seed = options.seed;
  context.skipped = SkippedFiles(input.skipped, images.skipped());
  context.choices = input.chosen.choices;
  return context;
}

// The int8 run to take the latency from: one that the checks do not watch, because reading codes
// and accumulators back costs time of its own; of the chosen plan's granularity. Without a sweep it
// is the chosen run, checks and all.
size_t Int8RunForLatency(const Experiment& experiment) {
  const size_t chosen = experiment.RunOf("int8/plan");
  const Plan& plan = experiment.runs[chosen].plan;
  if (plan.sites.empty()) return chosen;
  const std::string_view granularity =
      GranularityName(plan.sites.begin()->second.activation.granularity);
  for (const ArmRow& row : experiment.rows) {
    const bool watched = std::any_of(experiment.twins.begin(), experiment.twins.end(),
                                     [&](const TwinRuns& twin) { return twin.int8 == row.run; });
    const bool int8 = experiment.runs[row.run].precision == Precision::kInt8;
    if (int8 && !watched && row.granularity == granularity) return row.run;
  }
  return chosen;
}

// Of one image on one thread: the reference, the chosen fake and INT8 arms, and all arms together.
void AddLatency(const Evaluation& evaluation, RunInfo& run) {
  const std::vector<double>& seconds = evaluation.run.arm_seconds;
  const auto add = [&](const char* name, double arm_seconds) {
    run.latency[name].ms_per_image =
        1000 * arm_seconds / static_cast<double>(evaluation.run.images);
  };
  add("fp16", seconds[0]);
  for (const ArmRow& row :
       evaluation.experiment.rows) {  // vllm-static has none for per-token plans
    if (row.name == "fake/plan") add("fake", seconds[row.run]);
  }
  add("int8", seconds[Int8RunForLatency(evaluation.experiment)]);
  add("all_arms", evaluation.run.seconds);
}

void AddFacts(const Options& options, const Preprocessing& preprocessing, const Task& task,
              const LoaderSource& images, Report& report) {
  if (options.demo_model) {
    report.facts["demo"] =
        options.demo_images ? "the embedded demo model and its images" : "the embedded demo model";
  }
  if (preprocessing.preprocessor.config().tiling) {
    report.facts["views"] = {{"evaluation_images", images.used().size()},
                             {"samples", images.samples()},
                             {"text",
                              "every tile and thumbnail is a sample; errors and intervals are over "
                              "images, classes are ranked for the whole image"}};
  }
  if (!task.classes) return;
  report.facts["classes"] = {{"count", task.classes->classes()}, {"sha256", task.classes->sha256}};
}

void AddDetails(const Session& session, const Evaluation& evaluation, const ComparisonInput& input,
                const LoaderSource& images, Report& report) {
  const SiteStatisticsMap none;
  const SiteStatisticsMap& statistics = input.stats == nullptr ? none : input.stats->sites;
  report.cards = BuildCards(session.graph.Sites(), statistics, evaluation.details);
  report.worst_images = BuildWorstImages(evaluation, MainOutput(report), input.task, images.used());
}

}  // namespace

Comparison Compare(const Session& session, const Preprocessing& preprocessing,
                   const Options& options, const ComparisonInput& input, RunClock& clock) {
  // Classes are ranked for the view of the whole image. Only InternVL's chat models can cut images
  // up without a thumbnail, and those have no pooled output to rank classes by.
  const std::optional<Tiling>& tiling = preprocessing.preprocessor.config().tiling;
  const bool ranked = session.config.classes > 0 || input.task.classes;
  W8A8_CHECK(!ranked || !tiling || tiling->thumbnail || tiling->max_tiles == 1);
  clock.Stage("evaluate");
  RunnerOptions runner = session.Runner(options);
  LoaderSource images(input.evaluation, preprocessing, options, input.max_images);
  Evaluation evaluation;
  {
    const auto listed = static_cast<int64_t>(input.evaluation.size());
    const int64_t expected = std::min(listed, input.max_images.value_or(listed));
    Progress progress("evaluate", "images", static_cast<double>(expected), options.quiet);
    Experiment experiment = BuildExperiment(session, options, input);
    RunningSqnr running(experiment.RunOf("int8/plan"), "int8/plan");
    runner.progress = [&](double done) { progress.Update(done, running.Text()); };
    evaluation = Evaluate(session, std::move(experiment), images, input.task, runner, &running);
  }
  if (evaluation.run.images == 0) {
    std::vector<SkippedImage> unread = input.skipped;
    unread.insert(unread.end(), images.skipped().begin(), images.skipped().end());
    if (unread.empty()) Fail("there is no image to judge on: the folder or list holds none.");
    Fail("not one of the {} evaluation images could be read; the first: {}: {}.", unread.size(),
         unread.front().file, unread.front().reason);
  }
  ThrowIfInterrupted();
  clock.Stage("report");
  Comparison comparison;
  comparison.report = BuildReport(session, evaluation, input.chosen.plan,
                                  BuildContext(session, preprocessing, options, input, images));
  AddFacts(options, preprocessing, input.task, images, comparison.report);
  AddDetails(session, evaluation, input, images, comparison.report);
  const double reference_seconds =
      evaluation.run.arm_seconds[0] / static_cast<double>(options.ThreadCount());
  comparison.run = clock.Info(session, options, reference_seconds);
  AddLatency(evaluation, comparison.run);
  return comparison;
}

void PrintComparison(const Comparison& comparison, const Options& options,
                     const std::filesystem::path& folder) {
  if (options.json) {
    std::fputs(SummaryJson(comparison.report, comparison.run, folder).c_str(), stdout);
  } else if (!options.quiet) {
    const std::string text = SummaryText(comparison.report, comparison.run, folder);
    const size_t verdict = text.find("\n\n");
    const std::string& ship = comparison.report.verdict.ship;
    const char* colour = ship == "yes" ? "\033[1;32m" : ship == "no" ? "\033[1;31m" : "\033[1;33m";
    const bool coloured = MayColour(STDOUT_FILENO);
    fmt::print("{}{}{}{}", coloured ? colour : "", text.substr(0, verdict),
               coloured ? "\033[0m" : "", text.substr(verdict));
  }
}

}  // namespace w8a8
