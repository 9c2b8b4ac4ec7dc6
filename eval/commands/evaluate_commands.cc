#include "eval/commands/evaluate_commands.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "eval/comparison.h"
#include "eval/export_quantized.h"
#include "eval/output_folder.h"
#include "eval/reference_check.h"
#include "eval/resume.h"
#include "eval/thresholds.h"
#include "reports/report_files.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

std::filesystem::path OutputFolder(const Options& options, const Session& session) {
  const std::filesystem::path folder = options.out.empty()
                                           ? DefaultOutputFolder(session.config.name)
                                           : std::filesystem::path(options.out);
  PrepareOutputFolder(folder);
  return folder;
}

// Statistics of an earlier calibration of the same model and preprocessing.
std::optional<CalibrationStats> ReadStatsFor(const Options& options, const Session& session,
                                             const Preprocessing& preprocessing) {
  if (options.stats.empty()) return std::nullopt;
  CalibrationStats stats = ReadStats(options.stats);
  CheckStatsFit(stats.header, options.stats, session.weights->sha256(), preprocessing.sha256);
  return stats;
}

// The images that `sweep` and `compare` judge on: --eval-images where given, else --images.
void ChooseImages(const Options& options, const Session& session, ComparisonInput& input) {
  const std::string& path = options.eval_images.empty() ? options.images : options.eval_images;
  RequireFlag(path, "--images", options.command.c_str());
  ImageSet images = ListImages(path);
  input.evaluation = std::move(images.files);
  input.skipped = std::move(images.unreadable);
  input.task = OpenTask(options, session, input.evaluation, OpenClasses(options, session));
  if (options.eval_images.empty()) input.max_images = options.max_images;
  input.evaluated_on = "judged on the images given";
}

int CompareOnly(const Options& options, const SweepPoints& points) {
  RunClock clock(options.typed);
  clock.Stage("open");
  const Session session = OpenSession(options);
  const Preprocessing preprocessing = OpenPreprocessing(options, session.config);
  const std::optional<CalibrationStats> stats = ReadStatsFor(options, session, preprocessing);
  ComparisonInput input;
  ChooseImages(options, session, input);
  input.stats = stats ? &*stats : nullptr;
  input.points = points;
  input.chosen = ChoosePlan(session, options, stats ? &stats->sites : nullptr);
  const std::filesystem::path folder = OutputFolder(options, session);
  const Comparison comparison = Compare(session, preprocessing, options, input, clock);
  WriteReportFiles(folder, comparison.report, comparison.run);
  PrintComparison(comparison, options, folder);
  return JudgeThresholds(options, comparison.report);
}

// quantized/ of the chosen plan; what the exporter warns of stands in the report too.
void Export(const Session& session, const Options& options, const Plan& plan,
            const std::filesystem::path& folder, Comparison& comparison) {
  const std::vector<std::string> warnings =
      ExportQuantized(*session.weights, session.graph, plan, options.model, folder / "quantized");
  for (const std::string& warning : warnings) {
    comparison.report.health.push_back({.level = "note", .site = "", .text = warning});
  }
}

// The statistics of images.calibration: those that an interrupted run left in `folder`, or new
// ones. What could not be read is appended to images.skipped.
CalibrationStats CalibrateOrResume(const Session& session, const Preprocessing& preprocessing,
                                   const Options& options, const std::filesystem::path& folder,
                                   ImagePlan& images) {
  CheckImagesDiffer(EntriesOf(images.calibration), "--images " + options.images);
  if (HasCalibration(folder)) {
    std::vector<SkippedImage> unreadable;
    const std::vector<ImageFile> readable = ReadableImages(
        options, preprocessing, images.calibration, images.max_calibration, &unreadable);
    std::optional<CalibrationStats> finished =
        FinishedCalibration(folder, CalibrationKey(session, preprocessing, options, readable));
    if (finished) {
      images.skipped.insert(images.skipped.end(), unreadable.begin(), unreadable.end());
      if (!options.quiet) {
        fmt::print(
            stderr,
            "calibrate  taken from {}: same model, preprocessing, images and seed; remove it "
            "to calibrate again\n",
            (folder / "stats.h5").string());
      }
      return std::move(*finished);
    }
  }
  LoaderSource source(images.calibration, preprocessing, options, images.max_calibration);
  const auto listed = static_cast<int64_t>(images.calibration.size());
  CalibrationStats stats =
      Calibrate(session, source, preprocessing, options,
                static_cast<double>(std::min(listed, images.max_calibration.value_or(listed))));
  WriteStats(folder / "stats.h5", stats);
  RecordCalibration(folder, CalibrationKey(session, preprocessing, options, source.used()));
  images.skipped.insert(images.skipped.end(), source.skipped().begin(), source.skipped().end());
  return stats;
}

// What follows the calibration: the plan, the arms, quantized/ and the report.
int CompareAndWrite(const Session& session, const Preprocessing& preprocessing,
                    const Options& options, const std::filesystem::path& folder,
                    const CalibrationStats& stats, ImagePlan images,
                    const std::vector<HealthNote>& reference_notes, RunClock& clock) {
  clock.Stage("plan");
  ComparisonInput input;
  input.chosen = ChoosePlan(session, options, &stats.sites);
  CheckExportable(input.chosen.plan);
  const PlanFile plan = ToPlanFile(session, input.chosen.plan);
  WritePlan(folder / "plan.json", plan, KnownSites(session.graph));

  input.evaluation = std::move(images.evaluation);
  input.task = std::move(images.task);
  input.evaluated_on = std::move(images.evaluated_on);
  input.skipped = std::move(images.skipped);
  input.stats = &stats;
  input.points = {options.granularities, options.clip_ranges};
  Comparison comparison = Compare(session, preprocessing, options, input, clock);
  ThrowIfInterrupted();
  comparison.report.health.insert(comparison.report.health.begin(), reference_notes.begin(),
                                  reference_notes.end());
  Export(session, options, input.chosen.plan, folder, comparison);
  WriteReportFiles(folder, comparison.report, comparison.run);
  PrintComparison(comparison, options, folder);
  return JudgeThresholds(options, comparison.report);
}

// Calls `work`; an interruption in it is told with what is there and how to go on.
template <class Work>
auto Resumable(const std::string& what, const Work& work) {
  try {
    return work();
  } catch (const Interrupted&) {
    throw Interrupted("interrupted: " + what);
  }
}

}  // namespace

int RunSweep(const Options& options) {
  const bool per_tensor = std::find(options.granularities.begin(), options.granularities.end(),
                                    Granularity::kTensor) != options.granularities.end();
  if (per_tensor && options.stats.empty()) {
    FailUsage(
        "sweep: per-tensor points need --stats FILE (w8a8-calib calibrate makes it); or give "
        "--granularities per-token.");
  }
  return CompareOnly(options, {options.granularities, options.clip_ranges});
}

int RunCompare(const Options& options) { return CompareOnly(options, {}); }

int RunWholeJob(const Options& options) {
  RunClock clock(options.typed);
  clock.Stage("open");
  const Session session = OpenSession(options);
  const Preprocessing preprocessing = OpenPreprocessing(options, session.config);
  CheckExportable(*session.weights, session.graph);
  // A plan that needs no statistics is checked before the work is done.
  if (options.granularity.value_or(Granularity::kToken) == Granularity::kToken) {
    CheckExportable(ChoosePlan(session, options, nullptr).plan);
  }
  ImagePlan images = PlanImages(options, session, preprocessing);
  const std::filesystem::path folder = OutputFolder(options, session);

  clock.Stage("calibrate");
  const CalibrationStats stats =
      Resumable("the calibration was not finished; the same command starts it again.",
                [&] { return CalibrateOrResume(session, preprocessing, options, folder, images); });
  const std::vector<HealthNote> reference_notes =
      WarnOfReference(session, preprocessing, options, images.calibration);
  const std::string resume = fmt::format(
      "the calibration is finished ({}). The same command with --out {} goes on from there.",
      (folder / "stats.h5").string(), folder.string());
  return Resumable(resume, [&] {
    return CompareAndWrite(session, preprocessing, options, folder, stats, std::move(images),
                           reference_notes, clock);
  });
}

}  // namespace w8a8
