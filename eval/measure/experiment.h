// The list of arms of the whole job: the reference, every point of the sweep as fake and as int8,
// the chosen plan, and the emulated twins that prove the runtime.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "eval/run/arm.h"
#include "reports/words.h"

namespace w8a8 {

// One row of the report. Rows that compute the same numbers share a run.
struct ArmRow {
  std::string name;
  size_t run = 0;                           // index into Experiment::runs
  std::optional<InputScaling> granularity;  // none for fp16
  std::optional<float> clip_range;          // of a sweep point; none: no clip, or a plan's own
  bool chosen = false;                      // computes the plan that the experiment is about
};

// An int8 run and its emulated twin.
struct TwinRuns {
  size_t int8 = 0;
  size_t emulated = 0;
};

struct Experiment {
  std::vector<Arm> runs;     // what the runner gets; runs[0] is the reference
  std::vector<ArmRow> rows;  // what the report shows
  std::vector<TwinRuns> twins;

  // Adds a row for `arm`, unless one of its name is there; an arm that computes what a run already
  // does shares it. Returns the run.
  size_t AddRow(const Arm& arm, ArmRow row);
  // Adds the emulated twin of an int8 run under `row`, if the run has none yet.
  void AddTwin(size_t int8_run, ArmRow row);
  // The chosen row of this precision, and its run; null, none: this experiment has no such arm.
  const ArmRow* ChosenRow(Precision precision) const;
  std::optional<size_t> ChosenRun(Precision precision) const;
  size_t RunOf(const std::string& row_name) const;  // W8A8_CHECKs that it exists
};

struct SweepPoints {
  std::vector<Granularity> granularities;
  std::vector<float> clip_ranges;
};

// An arm's name: "int8/per-token/5", "fake/per-tensor/inf".
std::string ArmName(Precision precision, Granularity granularity, float clip_range);
InputScaling ScalingOf(Granularity input);

// Every site per-token with clip range R; or per-tensor with scale min(abs-max, R) / 127.
Plan SweepPlan(const std::vector<std::string>& sites, const SiteStatisticsMap& statistics,
               Granularity granularity, float clip_range);

// The reference and every point as fake (of `flavour`) and as int8. A point that the flavour
// refuses (vllm-static, per-token) has its int8 arm only.
Experiment SweepExperiment(const std::vector<std::string>& sites,
                           const SiteStatisticsMap& statistics, const SweepPoints& points,
                           FakeFlavour flavour, int weight_bits);

// Adds "fake/plan" and "int8/plan", marked as chosen, the emulated twin of the latter, and the twin
// of int8 under plain per-tensor scales (where there are statistics), so that both granularities
// are proven.
void AddChosenPlan(Experiment& experiment, const Plan& plan, const std::optional<Plan>& per_tensor,
                   FakeFlavour flavour, int weight_bits);

}  // namespace w8a8
