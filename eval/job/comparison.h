// From a plan and evaluation images to a report: what the whole job, `sweep` and `compare` share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/job/calibration.h"
#include "eval/job/image_run.h"
#include "eval/job/run_clock.h"
#include "eval/job/session.h"
#include "eval/job/verdict.h"
#include "eval/measure/experiment.h"
#include "eval/measure/task.h"
#include "reports/report.h"

namespace w8a8 {

struct ComparisonInput {
  std::vector<ImageFile> evaluation;
  std::optional<int64_t> max_images;  // the first so many of `evaluation` that can be read
  Task task;
  std::string labels;                       // where the task's come from; empty: there are none
  std::vector<std::string> notes;           // on the images and their labels, sentences
  std::string evaluated_on;                 // ends the verdict's sentence; of a set that served
  bool evaluated_on_calibration = false;    // calibration too it says so
  std::vector<SkippedImage> skipped;        // found before the evaluation
  const CalibrationStats* stats = nullptr;  // needed for per-tensor points; nullptr: none
  ChosenPlan chosen;
  SweepPoints points;                                        // empty: no sweep
  WeightSettings weights;                                    // of the points, schemes aside
  FakeFlavour fake = FakeFlavour::kIdeal;                    // of the fake arms
  AttentionPrecision attention = AttentionPrecision::kFp32;  // of the quantized arms
  VerdictThresholds thresholds;
  uint64_t min_expert_tokens = 1;  // experts that got fewer are named
  std::string demo;                // what of the input is the embedded demo's; empty: nothing
};

struct Comparison {
  Report report;
  RunInfo run;
  std::string unsound;  // why the reference cannot judge anything, a sentence; empty: it can
};

// Whether the flavour can run any of the plans; the others have their INT8 arms only.
bool HasFakeArms(const Session& session, const ComparisonInput& input);

Comparison Compare(const Session& session, const Preprocessing& preprocessing,
                   const RunSettings& run, const ComparisonInput& input, RunClock& clock);

}  // namespace w8a8
