#include "eval/cli/commands/evaluate_commands.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "eval/export/export_quantized.h"
#include "eval/job/comparison.h"
#include "eval/job/output_folder.h"
#include "eval/job/reference_check.h"
#include "eval/job/resume.h"
#include "eval/job/summary.h"
#include "eval/job/thresholds.h"
#include "eval/job/verdict.h"
#include "reports/report_files.h"
#include "runtime/base/atomic_file.h"
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
  CheckStatsFit(stats.header, options.stats, session, preprocessing.sha256);
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

// What judges comes first among what is wrong.
void AddReferenceNotes(const std::vector<HealthNote>& notes, Report& report) {
  report.health.insert(report.health.begin(), notes.begin(), notes.end());
}

// Writes and prints the report; the exit code. A run that misses a threshold says so in its
// verdict; one whose thresholds cannot be judged fails when its report is written.
int Finish(const Options& options, const std::filesystem::path& folder, Comparison& comparison) {
  constexpr int kBelowThreshold = 3;
  std::string missed;
  std::exception_ptr unjudged;
  try {
    missed = MissedThresholds(options, comparison.report);
  } catch (const Error&) {
    unjudged = std::current_exception();
  }
  if (!missed.empty()) Overrule(missed, comparison.report.verdict);
  WriteReportFiles(folder, comparison.report, comparison.run);
  PrintComparison(comparison, options, folder);
  if (unjudged) std::rethrow_exception(unjudged);
  if (missed.empty()) return 0;
  fmt::print(stderr, "{}\n", missed);
  return kBelowThreshold;
}

// A comparison writes only a report; what a whole job left beside it is another plan's.
void WarnOfOlderFiles(const Options& options, const std::filesystem::path& folder) {
  std::string older;
  for (const char* name : {"plan.json", kQuantizedFolder}) {
    if (!std::filesystem::exists(folder / name)) continue;
    older += (older.empty() ? "" : " and ") + (folder / name).string();
  }
  if (older.empty() || options.quiet) return;
  fmt::print(stderr,
             "warning: {} stay as an earlier run wrote them; the new report is of the plan given "
             "here. --out another folder keeps the two apart.\n",
             older);
}

int CompareOnly(const Options& options, const SweepPoints& points) {
  RunClock clock(options.typed);
  clock.Stage("open");
  const Session session = OpenSession(options);
  const Preprocessing preprocessing = OpenPreprocessing(options, session.config);
  std::optional<CalibrationStats> stats = ReadStatsFor(options, session, preprocessing);
  ComparisonInput input;
  ChooseImages(options, session, input);
  input.stats = stats ? &*stats : nullptr;
  input.points = points;
  input.chosen = ChoosePlan(session, options, stats ? &stats->sites : nullptr);
  if (stats) stats->DropRows();
  const std::filesystem::path folder = OutputFolder(options, session);
  WarnOfOlderFiles(options, folder);
  clock.Stage("reference");
  const std::vector<HealthNote> reference_notes =
      WarnOfReference(session, preprocessing, options, input.evaluation);
  Comparison comparison = Compare(session, preprocessing, options, input, clock);
  AddReferenceNotes(reference_notes, comparison.report);
  return Finish(options, folder, comparison);
}

// quantized/ of the chosen plan; what the exporter warns of stands in the report too.
void Export(const Session& session, const Options& options, const Plan& plan,
            const std::filesystem::path& folder, Comparison& comparison) {
  const std::vector<std::string> warnings = ExportQuantized(
      *session.weights, session.graph, plan, options.model, folder / kQuantizedFolder);
  for (const std::string& warning : warnings) {
    comparison.report.health.push_back({.level = "note", .site = "", .text = warning});
  }
  comparison.report.facts["weights"] = kQuantizedFolder;
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

// Writes the plan of this run. Another one that stands there is kept: it may have been written by
// hand, and --plan is how to use it.
void ReplacePlan(const Session& session, const Options& options, const Plan& plan,
                 const std::filesystem::path& path) {
  const std::string text = PlanText(ToPlanFile(session, plan), KnownSites(session.graph));
  std::error_code ignored;
  const bool given =
      !options.plan.empty() && std::filesystem::equivalent(options.plan, path, ignored);
  if (std::filesystem::exists(path) && !given && ReadFile(path) != text) {
    const std::filesystem::path old = path.parent_path() / "plan.old.json";
    std::filesystem::rename(path, old);
    if (!options.quiet) {
      fmt::print(stderr,
                 "warning: {} was another plan; it is now {}. --plan uses a plan that is there.\n",
                 path.string(), old.string());
    }
  }
  WriteFileAtomically(path, text);
}

// What follows the calibration: the plan, the arms, quantized/ and the report.
int CompareAndWrite(const Session& session, const Preprocessing& preprocessing,
                    const Options& options, const std::filesystem::path& folder,
                    CalibrationStats stats, ImagePlan images,
                    const std::vector<HealthNote>& reference_notes, RunClock& clock) {
  clock.Stage("plan");
  ComparisonInput input;
  input.chosen = ChoosePlan(session, options, &stats.sites);
  stats.DropRows();
  CheckExportable(input.chosen.plan);
  ReplacePlan(session, options, input.chosen.plan, folder / "plan.json");

  input.evaluation = std::move(images.evaluation);
  input.task = std::move(images.task);
  input.evaluated_on = std::move(images.evaluated_on);
  input.skipped = std::move(images.skipped);
  input.stats = &stats;
  input.points = {options.granularities, options.clip_ranges};
  Comparison comparison = Compare(session, preprocessing, options, input, clock);
  ThrowIfInterrupted();
  AddReferenceNotes(reference_notes, comparison.report);
  Export(session, options, input.chosen.plan, folder, comparison);
  return Finish(options, folder, comparison);
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
  CalibrationStats stats =
      Resumable("the calibration was not finished; the same command starts it again.",
                [&] { return CalibrateOrResume(session, preprocessing, options, folder, images); });
  clock.Stage("reference");
  const std::vector<HealthNote> reference_notes =
      WarnOfReference(session, preprocessing, options, images.calibration);
  const std::string resume = fmt::format(
      "the calibration is finished ({}). The same command with --out {} goes on from there.{}",
      (folder / "stats.h5").string(), folder.string(),
      std::filesystem::exists(folder / "report.json")
          ? " The report and the weights in that folder are still those of an earlier run."
          : "");
  return Resumable(resume, [&] {
    return CompareAndWrite(session, preprocessing, options, folder, std::move(stats),
                           std::move(images), reference_notes, clock);
  });
}

}  // namespace w8a8
