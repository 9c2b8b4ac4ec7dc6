#include "eval/job/comparison.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "eval/job/progress.h"
#include "eval/job/report_builder.h"
#include "eval/job/site_cards.h"
#include "eval/job/worst_images.h"
#include "eval/measure/evaluate.h"
#include "eval/run/known_sites.h"
#include "eval/run/stored_plan.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

Experiment BuildExperiment(const Session& session, const ComparisonInput& input) {
  const std::vector<std::string> sites = session.graph.Sites();
  const SiteStatisticsMap empty;
  const SiteStatisticsMap& statistics = input.stats == nullptr ? empty : input.stats->sites;
  SweepPoints points = input.points;
  points.stored = StoredPlan(*session.weights, session.graph);
  Experiment experiment =
      SweepExperiment(sites, statistics, points, input.fake, input.weights, input.attention);
  std::optional<Plan> per_tensor;
  if (input.stats != nullptr) {
    per_tensor = WithStoredWeights(SweepPlan(sites, statistics, Granularity::kTensor, kNoClip),
                                   points.stored);
    per_tensor = WithWeights(*std::move(per_tensor), input.weights);
  }
  AddChosenPlan(experiment, input.chosen.plan, per_tensor, input.fake, input.attention);
  AddTwinsOfSchemes(experiment);
  AddTimedRun(experiment);
  return experiment;
}

std::vector<SkippedFile> SkippedFiles(const std::vector<SkippedImage>& before,
                                      const std::vector<SkippedImage>& evaluating) {
  std::vector<SkippedFile> files;
  for (const SkippedImage& image : before) files.push_back({image.file, image.reason});
  for (const SkippedImage& image : evaluating) files.push_back({image.file, image.reason});
  return files;
}

// Says which of the judged images served calibration too, whatever they are called there.
void NoteOverlap(const std::vector<ImageFile>& judged, const StatsHeader& calibration,
                 ReportContext& context) {
  std::map<std::string, std::string> calibrated;  // names by SHA-256
  for (const ImageEntry& image : calibration.images) calibrated.emplace(image.sha256, image.name);
  size_t count = 0;
  std::string first;
  for (const ImageFile& file : judged) {
    const auto found = calibrated.find(file.sha256);
    if (found == calibrated.end() || count++ > 0) continue;
    const bool renamed = found->second != file.name;
    first = fmt::format("'{}'", file.name) + (renamed ? ", there '" + found->second + "'" : "");
  }
  if (count == 0) return;
  context.evaluated_on +=
      fmt::format(", {} of {} of which took part in calibration", count, judged.size());
  context.notes.push_back(fmt::format(
      "{} of the {} images judged took part in calibration too (equal SHA-256; the first: {}).",
      count, judged.size(), first));
}

void CountDifferent(const LoaderSource& judged, ReportContext& context) {
  std::set<std::string> different;
  for (const auto& [image, input] : judged.inputs()) different.insert(input);
  context.inputs = judged.inputs();
  context.evaluation_images = judged.used().size();
  context.different_images = different.size();
}

ReportContext BuildContext(const Session& session, const Preprocessing& preprocessing,
                           uint64_t seed, const ComparisonInput& input,
                           const LoaderSource& images) {
  std::vector<ImageEntry> all = EntriesOf(images.used());
  ReportContext context;
  context.evaluated_on = input.evaluated_on;
  if (input.stats != nullptr) {
    const std::vector<ImageEntry>& calibrated = input.stats->header.images;
    context.calibration_images = calibrated.size();
    all.insert(all.end(), calibrated.begin(), calibrated.end());
    context.health = HealthOf(session, input.stats->sites, input.chosen.plan);
    context.calibrated = CalibratedRows(input.stats->sites);
    if (!input.evaluated_on_calibration) {
      NoteOverlap(images.used(), input.stats->header, context);
    }
  }
  context.notes.insert(context.notes.end(), input.notes.begin(), input.notes.end());
  if (input.attention != AttentionPrecision::kFp32) {
    context.notes.push_back(fmt::format(
        "the quantized arms multiply in {} in attention, and no checkpoint says so: a runtime with "
        "attention of its own gives other outputs.",
        NameOf(input.attention)));
  }
  CountDifferent(images, context);
  context.model_name = session.config.name;
  context.preprocessing = preprocessing.description;
  context.preprocessing_sha256 = preprocessing.sha256;
  context.image_set_sha256 = ImageSetSha256(std::move(all));
  context.plan_sha256 =
      PlanSha256(ToPlanFile(session, input.chosen.plan), KnownSites(session.graph));
  context.attention = input.attention;
  context.thresholds = input.thresholds;
  context.seed = seed;
  context.skipped = SkippedFiles(input.skipped, images.skipped());
  context.choices = input.chosen.choices;
  context.min_expert_tokens = input.min_expert_tokens;
  return context;
}

// Of the sites that the chosen arm quantizes.
void AddSiteLatency(const Evaluation& evaluation, size_t int8_run, const Graph& graph,
                    RunInfo& run) {
  const RunnerResult& times = evaluation.run;
  const Plan& plan = evaluation.experiment.runs[int8_run].plan;
  const double to_ms = 1000 / static_cast<double>(times.images);
  for (const std::string& site : graph.Sites()) {
    if (plan.sites.find(site) == plan.sites.end()) continue;
    run.site_latency.push_back({.site = site,
                                .fp16_ms = to_ms * times.site_seconds[0].at(site),
                                .int8_ms = to_ms * times.site_seconds[int8_run].at(site)});
  }
}

// The runs that AddSiteLatency() is of; none: it is of nobody.
std::vector<size_t> RunsForSiteLatency(const Experiment& experiment) {
  const std::optional<size_t> timed = TimedRun(experiment);
  return timed ? std::vector<size_t>{0, *timed} : std::vector<size_t>();
}

// Of one image on one thread: the reference, the chosen fake and INT8 arms, the INT8 arms of
// schemes and of the plan's weights, and all arms together.
void AddLatency(const Evaluation& evaluation, const Graph& graph, RunInfo& run) {
  const std::vector<double>& seconds = evaluation.run.arm_seconds;
  const Experiment& experiment = evaluation.experiment;
  const auto add = [&](std::string_view name, double arm_seconds) {
    run.latency[std::string(name)].ms_per_image =
        1000 * arm_seconds / static_cast<double>(evaluation.run.images);
  };
  add(NameOf(Precision::kFp16), seconds[0]);
  if (const std::optional<size_t> fake = experiment.ChosenRun(Precision::kFake)) {
    add(NameOf(Precision::kFake), seconds[*fake]);
  }
  if (const std::optional<size_t> timed = TimedRun(experiment)) {
    add(NameOf(Precision::kInt8), seconds[*timed]);
    AddSiteLatency(evaluation, *timed, graph, run);
  }
  for (const ArmRow& row : experiment.rows) {
    const bool int8 = experiment.runs[row.run].precision == Precision::kInt8;
    if (int8 && (row.part || !row.scheme.empty())) add(row.name, seconds[row.run]);
  }
  add("all_arms", evaluation.run.seconds);
}

void AddFacts(const ComparisonInput& input, const Preprocessing& preprocessing,
              const LoaderSource& images, Report& report) {
  nlohmann::ordered_json& facts = report.facts.json();
  if (!input.demo.empty()) facts["demo"] = input.demo;
  if (preprocessing.preprocessor.config().tiling) {
    facts["views"] = {{"evaluation_images", images.used().size()},
                      {"samples", images.samples()},
                      {"text",
                       "every tile and thumbnail is a sample; errors and intervals are over "
                       "images, classes are ranked for the whole image"}};
  }
  if (!input.labels.empty()) facts["labels"] = input.labels;
  const std::optional<ClassEmbeddings>& classes = input.task.classes;
  if (classes) facts["classes"] = {{"count", classes->classes()}, {"sha256", classes->sha256}};
}

void AddDetails(const Session& session, const Evaluation& evaluation, const ComparisonInput& input,
                const LoaderSource& images, Report& report) {
  const SiteStatisticsMap none;
  const SiteStatisticsMap& statistics = input.stats == nullptr ? none : input.stats->sites;
  report.cards = BuildCards(session.graph.Sites(), statistics, evaluation.details,
                            input.chosen.plan, report.site_names);
  AddWorstImages(evaluation, input.task, images.used(), report);
}

// Why the reference cannot judge anything; empty: it can.
std::string WhyUnsound(const Evaluation& evaluation, const LoaderSource& images) {
  const size_t nonfinite = evaluation.outputs.nonfinite_reference.size();
  if (nonfinite == 0) return "";
  return fmt::format(
      "the FP16 reference is not finite on {} of {} images, so nothing can be judged by it; the "
      "report says under Health where that begins.",
      nonfinite, images.used().size());
}

void FailNoneEvaluated(const ComparisonInput& input, const LoaderSource& images) {
  std::vector<SkippedImage> unread = input.skipped;
  unread.insert(unread.end(), images.skipped().begin(), images.skipped().end());
  FailNoneRead("evaluation images", unread);
}

}  // namespace

bool HasFakeArms(const Session& session, const ComparisonInput& input) {
  const Experiment experiment = BuildExperiment(session, input);
  return std::ranges::any_of(experiment.runs,
                             [](const Arm& arm) { return arm.precision == Precision::kFake; });
}

Comparison Compare(const Session& session, const Preprocessing& preprocessing,
                   const RunSettings& run, const ComparisonInput& input, RunClock& clock) {
  // Classes are ranked for the view of the whole image. Only InternVL's chat models can cut images
  // up without a thumbnail, and those have no pooled output to rank classes by.
  const std::optional<Tiling>& tiling = preprocessing.preprocessor.config().tiling;
  const bool ranked = session.config.classes >= kMinClasses || input.task.classes;
  W8A8_CHECK(!ranked || !tiling || tiling->thumbnail || tiling->max_tiles == 1);
  clock.Stage("evaluate");
  RunnerOptions runner = session.Runner(run);
  LoaderSource images(input.evaluation, preprocessing,
                      {.threads = run.threads, .max_images = input.max_images});
  Evaluation evaluation;
  {
    Progress progress("evaluate", "images", images.expected(), run.progress);
    Experiment experiment = BuildExperiment(session, input);
    std::optional<RunningSqnr> running;
    if (const ArmRow* chosen = experiment.ChosenRow(Precision::kInt8)) {
      running.emplace(chosen->run, chosen->name);
    }
    runner.progress = [&](double done) { progress.Update(done, running ? running->Text() : ""); };
    runner.site_seconds_of = RunsForSiteLatency(experiment);
    evaluation = Evaluate(session.graph, *session.weights, std::move(experiment), images,
                          input.task, runner, running ? &*running : nullptr);
  }
  if (evaluation.run.images == 0) FailNoneEvaluated(input, images);
  ThrowIfInterrupted();
  clock.Stage("report");
  Comparison comparison;
  comparison.report = BuildReport(session, evaluation, input.chosen.plan,
                                  BuildContext(session, preprocessing, run.seed, input, images));
  AddFacts(input, preprocessing, images, comparison.report);
  AddDetails(session, evaluation, input, images, comparison.report);
  comparison.unsound = WhyUnsound(evaluation, images);
  comparison.run = clock.Info(session, input.attention, run.threads, evaluation.run.arm_seconds[0]);
  AddLatency(evaluation, session.graph, comparison.run);
  return comparison;
}

}  // namespace w8a8
