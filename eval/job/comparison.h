// From a plan and evaluation images to a report: what the whole job, `sweep` and `compare` share.
#pragma once

#include <filesystem>
#include <vector>

#include "eval/cli/options.h"
#include "eval/job/calibration.h"
#include "eval/job/image_run.h"
#include "eval/job/run_clock.h"
#include "eval/job/session.h"
#include "eval/measure/experiment.h"
#include "reports/report.h"

namespace w8a8 {

struct ComparisonInput {
  std::vector<ImageFile> evaluation;
  std::optional<int64_t> max_images;  // the first so many of `evaluation` that can be read
  Task task;
  std::string evaluated_on;                 // ends the verdict's sentence
  std::vector<SkippedImage> skipped;        // found before the evaluation
  const CalibrationStats* stats = nullptr;  // needed for per-tensor points; nullptr: none
  ChosenPlan chosen;
  SweepPoints points;  // empty: no sweep
};

struct Comparison {
  Report report;
  RunInfo run;
};

Comparison Compare(const Session& session, const Preprocessing& preprocessing,
                   const Options& options, const ComparisonInput& input, RunClock& clock);

// The summary, or with --json the same as JSON, on stdout; nothing with --quiet.
void PrintComparison(const Comparison& comparison, const Options& options,
                     const std::filesystem::path& folder);

}  // namespace w8a8
