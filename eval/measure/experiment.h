// The list of arms of the whole job: the reference, every point of the sweep as fake and as int8,
// the chosen plan and its weights alone, and the emulated twins that prove the runtime.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "eval/run/arm.h"
#include "reports/words.h"

namespace w8a8 {

// The arm of the chosen plan's weights alone: inputs and outputs in FP16, attention in FP32.
constexpr const char* kWeightOnlyArm = "int8/weight-only";

// One row of the report. Rows that compute the same numbers share a run.
struct ArmRow {
  std::string name;
  size_t run = 0;                           // index into Experiment::runs
  std::optional<InputScaling> granularity;  // none for fp16
  std::optional<float> clip_range;          // of a sweep point; none: no clip, or a plan's own
  bool chosen = false;                      // computes the plan that the experiment is about
  std::string scheme = {};                  // of a point that is a scheme: its name
  std::optional<PlanPart> part = {};        // computes this part of the chosen plan
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
  // Adds the emulated twin of an int8 run under `row`, unless one is there. A scheme's run has its
  // time taken, and being watched takes time: there the twin watches a copy of it, which becomes
  // the run of its other rows.
  void AddTwin(size_t int8_run, ArmRow row);
  // The chosen row of this precision, and its run; null, none: this experiment has no such arm.
  const ArmRow* ChosenRow(Precision precision) const;
  std::optional<size_t> ChosenRun(Precision precision) const;
  size_t RunOf(const std::string& row_name) const;  // W8A8_CHECKs that it exists
  std::vector<size_t> RunsOfPlan() const;  // of the chosen rows and of the plan's parts, each once
};

// One way of quantizing every site, by a name.
struct SchemePoint {
  std::string name;
  Plan plan;
};

struct SweepPoints {
  std::vector<Granularity> granularities = {};
  std::vector<float> clip_ranges = {};
  std::vector<SchemePoint> schemes = {};
  // How sites that are codes are stored: the weights of every point but the schemes, which say all.
  Plan stored = {};
};

// An arm's name: "int8/per-token/5", "fake/per-tensor/inf"; of a scheme "int8/w4a8-g128".
std::string ArmName(Precision precision, Granularity granularity, float clip_range);
// How a site's input is scaled; an input that is not quantized is kFp16.
InputScaling ScalingOf(const std::optional<Quantizer>& input);
// What is left of the plan where inputs and outputs stay FP16: weight-only.
Plan WeightOnly(const Plan& plan);
// Whether the two plans run the same steps on every site: they differ in clip ranges, scales and
// zero points of inputs and outputs at most, so that they take the same time.
bool SameSteps(const Plan& first, const Plan& second);

// Every site per-token with clip range R; or per-tensor with scale min(abs-max, R) / 127.
Plan SweepPlan(const std::vector<std::string>& sites, const SiteStatisticsMap& statistics,
               Granularity granularity, float clip_range);

// The reference and every point as fake (of `flavour`) and as int8. `weights` are those of all but
// the schemes, which say themselves how theirs are made. A point that the flavour cannot run
// (vllm-static per-token; llm-awq of groups) has its int8 arm only.
// `attention` is every quantized arm's.
Experiment SweepExperiment(const std::vector<std::string>& sites,
                           const SiteStatisticsMap& statistics, const SweepPoints& points,
                           FakeFlavour flavour, const WeightSettings& weights = {},
                           AttentionPrecision attention = AttentionPrecision::kFp32);

// Adds "fake/plan" and "int8/plan", marked as chosen, the emulated twin of the latter, the arm of
// the plan's weights alone, and the twin of int8 under plain per-tensor scales (where there are
// statistics), so that both granularities are proven. The plans are run as they are. `attention` is
// every arm's but that of the weights alone, whose attention stays FP32.
void AddChosenPlan(Experiment& experiment, const Plan& plan, const std::optional<Plan>& per_tensor,
                   FakeFlavour flavour, AttentionPrecision attention = AttentionPrecision::kFp32);

// Adds the emulated twin of every scheme, so that each is proven.
void AddTwinsOfSchemes(Experiment& experiment);

// The int8 run whose time is that of the chosen one: of the same steps, and one that no twin
// watches, because reading codes and accumulators back takes time of its own. None: there is no
// such run.
std::optional<size_t> TimedRun(const Experiment& experiment);
// Adds it where it is missing, as after a sweep of one point: one more forward, without a row.
void AddTimedRun(Experiment& experiment);

}  // namespace w8a8
