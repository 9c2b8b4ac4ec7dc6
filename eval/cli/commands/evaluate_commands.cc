#include "eval/cli/commands/evaluate_commands.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "eval/cli/error_text.h"
#include "eval/cli/inputs.h"
#include "eval/cli/settings.h"
#include "eval/cli/thresholds.h"
#include "eval/cli/usage_error.h"
#include "eval/export/export_target.h"
#include "eval/job/comparison.h"
#include "eval/job/output_folder.h"
#include "eval/job/outputs.h"
#include "eval/job/progress.h"
#include "eval/job/resume.h"
#include "eval/job/summary.h"
#include "eval/job/verdict.h"
#include "reports/report_files.h"
#include "runtime/base/file_group.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

OutputFolder OpenOutput(const Options& options, const Session& session) {
  return From("--out ", [&] {
    return OutputFolder(options.out.empty() ? DefaultOutputFolder(session.config.name)
                                            : std::filesystem::path(options.out));
  });
}

// Statistics of an earlier calibration of the same model and preprocessing.
std::optional<CalibrationStats> ReadStatsFor(const Options& options, const Session& session,
                                             const Preprocessing& preprocessing) {
  if (options.stats.empty()) return std::nullopt;
  CalibrationStats stats = ReadStats(options.stats);
  CheckStatsFit(stats.header, options.stats, session, preprocessing.sha256);
  return stats;
}

void SetTask(OpenedTask opened, ComparisonInput& input) {
  input.task = std::move(opened.task);
  input.labels = std::move(opened.labels);
  input.notes = std::move(opened.notes);
}

// The images that `sweep` and `compare` judge on: --eval-images where given, else --images.
void ChooseImages(const Options& options, const Session& session, ComparisonInput& input) {
  const bool apart = !options.eval_images.empty();
  if (apart && (!options.images.empty() || options.max_images)) {
    Tell("note: {} judges on --eval-images {}; --images and --max-images have no part in it.\n",
         options.command, options.eval_images);
  }
  const std::string& path = apart ? options.eval_images : options.images;
  RequireFlag(path, "--images", options.command);
  ImageSet images = ListImagesOf(options, apart ? "--eval-images" : "--images", path);
  std::vector<std::string> listed = ListedNames(images);
  input.evaluation = std::move(images.files);
  input.skipped = std::move(images.unreadable);
  SetTask(OpenTaskOf(options, session, input.evaluation, std::move(listed)), input);
  if (!apart) input.max_images = options.max_images;
  input.evaluated_on = "judged on the images given";
}

// What the command line says of every comparison.
ComparisonInput StartInput(const Options& options) {
  ComparisonInput input;
  input.fake = options.fake;
  input.weights = WeightsOf(options);
  input.attention = options.attention;
  input.thresholds = VerdictOf(options);
  input.min_expert_tokens = options.min_expert_tokens;
  if (options.demo_images) input.demo = "the embedded demo model and its images";
  if (options.demo_model && !options.demo_images) input.demo = "the embedded demo model";
  return input;
}

// What judges comes first among what is wrong.
void AddReferenceNotes(const std::vector<HealthNote>& notes, Report& report) {
  report.health.insert(report.health.begin(), notes.begin(), notes.end());
}

// The summary on stdout, or with --json the same as JSON; nothing with --quiet.
void PrintComparison(const Comparison& comparison, const Options& options,
                     const std::filesystem::path& folder) {
  if (options.json) {
    PrintText(SummaryJson(comparison.report, comparison.run, folder));
  } else if (!options.quiet) {
    const std::string text = SummaryText(comparison.report, comparison.run, folder);
    const size_t verdict = text.find("\n\n");
    const Ship ship = comparison.report.verdict.ship;
    const char* colour = ship == Ship::kYes  ? "\033[1;32m"
                         : ship == Ship::kNo ? "\033[1;31m"
                                             : "\033[1;33m";
    const bool coloured = MayColour(STDOUT_FILENO);
    Print("{}{}{}{}", coloured ? colour : "", text.substr(0, verdict), coloured ? "\033[0m" : "",
          text.substr(verdict));
  }
}

// Writes and prints the report; the exit code. A run that misses a threshold says so in its
// verdict; one whose thresholds cannot be judged fails when its report is written. `files` are what
// goes with the report.
int Finish(const Options& options, const std::filesystem::path& folder, Comparison& comparison,
           FileGroup& files) {
  constexpr int kBelowThreshold = 3;
  std::string missed;
  std::exception_ptr unjudged;
  try {
    missed = MissedThresholds(options.thresholds, comparison.report);
  } catch (const Error&) {
    unjudged = std::current_exception();
  }
  if (!missed.empty() && comparison.unsound.empty()) Overrule(missed, comparison.report.verdict);
  WriteReportFiles(folder, comparison.report, comparison.run);
  files.Commit();
  PrintComparison(comparison, options, folder);
  if (!comparison.unsound.empty()) Fail("{}", comparison.unsound);
  if (unjudged) std::rethrow_exception(unjudged);
  if (missed.empty()) return 0;
  Tell("{}\n", missed);
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
  Tell(
      "warning: {} stay as an earlier run wrote them; the new report is of the plan given "
      "here. --out another folder keeps the two apart.\n",
      older);
}

// A flavour that was asked for runs somewhere.
void CheckFakeRuns(const Options& options, const Session& session, const ComparisonInput& input) {
  if (options.fake == FakeFlavour::kIdeal || HasFakeArms(session, input)) return;
  FailUsage(
      "--fake {}: it can run none of the plans here, so there would be no fake arm; {}.",
      NameOf(options.fake),
      IsVllmStatic(options.fake)
          ? "it takes static symmetric scales only: give a per-tensor plan (w8a8-calib plan "
            "--granularity per-tensor makes one)"
          : "it knows symmetric weights with one scale per output row, and symmetric INT8 inputs, "
            "per-token or per-tensor");
}

// Statistics that the schemes ask for and the command line does not give.
void CheckSchemes(const Options& options) {
  if (!options.stats.empty()) return;
  for (const Scheme& scheme : options.schemes) {
    if (!NeedsStatistics(scheme)) continue;
    FailUsage(
        "{}: --schemes {} has static scales, which come from calibration; give --stats FILE "
        "(w8a8-calib calibrate makes it).",
        options.command, SchemeName(scheme));
  }
}

int CompareOnly(const Options& options, const SweepPoints& points) {
  CheckSchemes(options);
  RunClock clock(options.typed);
  clock.Stage("open");
  const Session session = OpenSession(options);
  const Preprocessing preprocessing = OpenPreprocessing(session, options.resampler);
  std::optional<CalibrationStats> stats = ReadStatsFor(options, session, preprocessing);
  const RunSettings run = RunOf(options);
  ComparisonInput input = StartInput(options);
  ChooseImages(options, session, input);
  input.stats = stats ? &*stats : nullptr;
  input.points = points;
  input.chosen =
      ChoosePlan(session, PlanOf(options, stats ? Statistics::kGiven : Statistics::kNone), run,
                 stats ? &stats->sites : nullptr);
  input.points.schemes =
      PlanSchemes(session, options.schemes, input.weights, run, stats ? &stats->sites : nullptr);
  CheckFakeRuns(options, session, input);
  if (stats) stats->DropRows();
  const OutputFolder output = OpenOutput(options, session);
  const std::filesystem::path& folder = output.path();
  WarnOfOlderFiles(options, folder);
  clock.Stage("reference");
  const std::vector<HealthNote> reference_notes =
      WarnOfReference(session, preprocessing, options, input.evaluation);
  Comparison comparison = Compare(session, preprocessing, run, input, clock);
  AddReferenceNotes(reference_notes, comparison.report);
  FileGroup files;
  return Finish(options, folder, comparison, files);
}

void WritePlanOf(const Options& options, const Session& session, const Plan& plan,
                 const std::filesystem::path& folder) {
  const std::optional<std::filesystem::path> kept =
      WriteChosenPlan(session, plan, folder, options.plan);
  if (!kept || options.quiet) return;
  Tell("warning: {} was another plan; it is now {}. --plan uses a plan that is there.\n",
       (folder / "plan.json").string(), kept->string());
}

// What follows the calibration: the plan, the arms, quantized/ and the report.
int CompareAndWrite(const Session& session, const Preprocessing& preprocessing,
                    const Options& options, const std::filesystem::path& folder,
                    CalibrationStats stats, ImagePlan images, OpenedTask task,
                    const std::vector<HealthNote>& reference_notes, RunClock& clock) {
  clock.Stage("plan");
  const RunSettings run = RunOf(options);
  ComparisonInput input = StartInput(options);
  input.chosen = ChoosePlan(session, PlanOf(options, Statistics::kGiven), run, &stats.sites);
  input.points = {options.granularities, options.clip_ranges,
                  PlanSchemes(session, options.schemes, input.weights, run, &stats.sites)};
  stats.DropRows();
  DefaultExportTarget().check_plan(input.chosen.plan, session.graph);
  WritePlanOf(options, session, input.chosen.plan, folder);

  input.evaluation = std::move(images.evaluation);
  SetTask(std::move(task), input);
  input.evaluated_on = std::move(images.evaluated_on);
  input.evaluated_on_calibration = images.shared;
  input.skipped = std::move(images.skipped);
  input.stats = &stats;
  CheckFakeRuns(options, session, input);
  Comparison comparison = Compare(session, preprocessing, run, input, clock);
  ThrowIfInterrupted();
  AddReferenceNotes(reference_notes, comparison.report);
  FileGroup files;
  WriteQuantized(session, input.chosen.plan, folder, ScopeOf(options), run.progress,
                 comparison.report);
  return Finish(options, folder, comparison, files);
}

// Calls `work`; an interruption in it is told with the way on.
template <class Work>
auto Resumable(const std::string& way_on, const Work& work) {
  try {
    return work();
  } catch (const Interrupted&) {
    throw Interrupted(way_on);
  }
}

// How a whole job that is stopped after its calibration goes on.
std::string AfterCalibration(const std::filesystem::path& folder) {
  return fmt::format(
      "The calibration is finished ({}). The same command with --out {} goes on from there.{}",
      (folder / "stats.h5").string(), folder.string(),
      std::filesystem::exists(folder / "report.json")
          ? " The report and the weights in that folder are still those of an earlier run."
          : "");
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
  const Preprocessing preprocessing = OpenPreprocessing(session, options.resampler);
  DefaultExportTarget().check_model(*session.weights, session.graph);
  DefaultExportTarget().why_tower_only(session.folder);  // throws where nothing can be written
  // A plan that needs no statistics is checked before the work is done.
  const bool statistics_first = options.granularity == Granularity::kTensor ||
                                (options.scheme && NeedsStatistics(*options.scheme));
  if (!statistics_first) {
    DefaultExportTarget().check_plan(
        ChoosePlan(session, PlanOf(options, Statistics::kGiven), RunOf(options), nullptr).plan,
        session.graph);
  }
  ImagePlan images = PlanImages(options, preprocessing);
  OpenedTask task = OpenTaskOf(options, session, images.evaluation, images.listed);
  const OutputFolder output = OpenOutput(options, session);
  const std::filesystem::path& folder = output.path();

  clock.Stage("calibrate");
  CheckImagesDiffer(EntriesOf(images.calibration), "--images " + options.images);
  CalibrationStats stats =
      Resumable("The calibration was not finished; the same command starts it again.", [&] {
        return CalibrateOrResume(session, preprocessing, RunOf(options), folder, images,
                                 NeededBy(options.AllSchemes()));
      });
  clock.Stage("reference");
  return Resumable(AfterCalibration(folder), [&] {
    const std::vector<HealthNote> reference_notes =
        WarnOfReference(session, preprocessing, options, images.calibration);
    return CompareAndWrite(session, preprocessing, options, folder, std::move(stats),
                           std::move(images), std::move(task), reference_notes, clock);
  });
}

}  // namespace w8a8
