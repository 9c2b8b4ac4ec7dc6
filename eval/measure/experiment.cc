#include "eval/measure/experiment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "eval/run/stored_plan.h"
#include "quant/fake_quant.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

bool CanRun(FakeFlavour flavour, const Plan& plan) {
  return std::all_of(plan.sites.begin(), plan.sites.end(), [flavour](const auto& entry) {
    return UnknownTo(flavour, entry.second).empty();
  });
}

// A point of the sweep as fake and as int8; `row` without its name.
void AddPoint(Experiment& experiment, const std::string& point, const Plan& plan,
              FakeFlavour flavour, AttentionPrecision attention, const ArmRow& row) {
  for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
    if (precision == Precision::kFake && !CanRun(flavour, plan)) continue;
    experiment.AddRow(Arm{.name = fmt::format("{}/{}", NameOf(precision), point),
                          .precision = precision,
                          .plan = plan,
                          .flavour = flavour,
                          .attention = attention},
                      row);
  }
}

// What stands behind the precision in an arm's name.
std::string PointName(Granularity granularity, float clip_range) {
  return fmt::format("{}/{}", NameOf(granularity), clip_range);
}

// The run itself, unless it is a scheme's; then a copy, which becomes the run of its other rows.
size_t WatchedCopyOf(size_t run, Experiment& experiment) {
  const bool timed =
      std::any_of(experiment.rows.begin(), experiment.rows.end(),
                  [run](const ArmRow& row) { return row.run == run && !row.scheme.empty(); });
  if (!timed) return run;
  const size_t copy = experiment.runs.size();
  experiment.runs.push_back(Arm(experiment.runs[run]));
  for (ArmRow& row : experiment.rows) {
    if (row.run == run && row.scheme.empty()) row.run = copy;
  }
  return copy;
}

bool IsWatched(const Experiment& experiment, size_t run) {
  return std::any_of(experiment.twins.begin(), experiment.twins.end(),
                     [run](const TwinRuns& twin) { return twin.int8 == run; });
}

}  // namespace

size_t Experiment::AddRow(const Arm& arm, ArmRow row) {
  row.name = arm.name;
  for (const ArmRow& other : rows) {
    if (other.name == row.name) return other.run;
  }
  for (row.run = 0; row.run < runs.size(); ++row.run) {
    if (SameComputation(runs[row.run], arm)) break;
  }
  if (row.run == runs.size()) runs.push_back(arm);
  rows.push_back(row);
  return row.run;
}

void Experiment::AddTwin(size_t int8_run, ArmRow row) {
  for (const TwinRuns& twin : twins) {
    if (SameComputation(runs[twin.int8], runs[int8_run])) return;
  }
  const size_t watched = WatchedCopyOf(int8_run, *this);
  Arm emulated = runs[watched];
  emulated.name = row.name;
  emulated.precision = Precision::kEmulated;
  twins.push_back({watched, AddRow(emulated, std::move(row))});
}

size_t Experiment::RunOf(const std::string& row_name) const {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const ArmRow& r) { return r.name == row_name; });
  W8A8_CHECK(row != rows.end());
  return row->run;
}

const ArmRow* Experiment::ChosenRow(Precision precision) const {
  for (const ArmRow& row : rows) {
    if (row.chosen && runs[row.run].precision == precision) return &row;
  }
  return nullptr;
}

std::optional<size_t> Experiment::ChosenRun(Precision precision) const {
  const ArmRow* row = ChosenRow(precision);
  return row == nullptr ? std::nullopt : std::optional(row->run);
}

std::vector<size_t> Experiment::RunsOfPlan() const {
  std::vector<size_t> of_plan;
  for (const ArmRow& row : rows) {
    const bool known = std::find(of_plan.begin(), of_plan.end(), row.run) != of_plan.end();
    if ((row.chosen || row.part) && !known) of_plan.push_back(row.run);
  }
  return of_plan;
}

InputScaling ScalingOf(const std::optional<Quantizer>& input) {
  if (!input) return InputScaling::kFp16;
  if (input->granularity == Granularity::kGroup) return InputScaling::kPerGroup;
  return input->is_static() ? InputScaling::kPerTensor : InputScaling::kPerToken;
}

Plan WeightOnly(const Plan& plan) {
  Plan weights;
  for (const auto& [site, site_plan] : plan.sites) {
    if (!site_plan.weight) continue;
    SitePlan& alone = weights.sites[site] = site_plan;
    alone.input.reset();
    alone.output.reset();
    alone.first_row_twice = false;
  }
  return weights;
}

bool SameSteps(const Plan& first, const Plan& second) {
  const auto steps = [](Plan plan) {
    for (auto& [site, site_plan] : plan.sites) {
      for (std::optional<Quantizer>* quantizer : {&site_plan.input, &site_plan.output}) {
        if (!*quantizer) continue;
        (*quantizer)->clip_range = kNoClip;
        (*quantizer)->scale = 0.0f;
        (*quantizer)->zero_point = 0;
      }
    }
    return plan;
  };
  return steps(first) == steps(second);
}

std::string ArmName(Precision precision, Granularity granularity, float clip_range) {
  return fmt::format("{}/{}", NameOf(precision), PointName(granularity, clip_range));
}

Plan SweepPlan(const std::vector<std::string>& sites, const SiteStatisticsMap& statistics,
               Granularity granularity, float clip_range) {
  return granularity == Granularity::kToken ? PerTokenPlan(sites, clip_range)
                                            : PerTensorPlan(sites, statistics, clip_range).plan;
}

Experiment SweepExperiment(const std::vector<std::string>& sites,
                           const SiteStatisticsMap& statistics, const SweepPoints& points,
                           FakeFlavour flavour, const WeightSettings& weights,
                           AttentionPrecision attention) {
  Experiment experiment;
  experiment.AddRow(Arm{.name = "fp16", .precision = Precision::kFp16, .plan = {}}, ArmRow{});
  for (const Granularity granularity : points.granularities) {
    for (const float clip_range : points.clip_ranges) {
      const Plan plan =
          WithStoredWeights(SweepPlan(sites, statistics, granularity, clip_range), points.stored);
      const ArmRow row{
          .name = "",
          .run = 0,
          .granularity = granularity == Granularity::kToken ? InputScaling::kPerToken
                                                            : InputScaling::kPerTensor,
          .clip_range = std::isinf(clip_range) ? std::nullopt : std::optional<float>(clip_range)};
      AddPoint(experiment, PointName(granularity, clip_range), WithWeights(plan, weights), flavour,
               attention, row);
    }
  }
  for (const SchemePoint& scheme : points.schemes) {
    const ArmRow row{.name = "",
                     .run = 0,
                     .granularity = InputScaling::kPlan,
                     .clip_range = {},
                     .scheme = scheme.name};
    AddPoint(experiment, scheme.name, scheme.plan, flavour, attention, row);
  }
  return experiment;
}

void AddChosenPlan(Experiment& experiment, const Plan& plan, const std::optional<Plan>& per_tensor,
                   FakeFlavour flavour, AttentionPrecision attention) {
  ArmRow row{
      .name = "", .run = 0, .granularity = InputScaling::kPlan, .clip_range = {}, .chosen = true};
  AddPoint(experiment, "plan", plan, flavour, attention, row);
  row.chosen = false;
  const Arm weights{
      .name = kWeightOnlyArm, .precision = Precision::kInt8, .plan = WeightOnly(plan)};
  ArmRow weights_row = row;
  weights_row.part = PlanPart::kWeights;
  experiment.AddRow(weights, weights_row);
  row.name = "emulated/plan";
  experiment.AddTwin(experiment.RunOf("int8/plan"), row);
  if (!per_tensor) return;
  row = {.name = "", .run = 0, .granularity = InputScaling::kPerTensor, .clip_range = {}};
  const size_t per_tensor_run =
      experiment.AddRow(Arm{.name = ArmName(Precision::kInt8, Granularity::kTensor, kNoClip),
                            .precision = Precision::kInt8,
                            .plan = *per_tensor,
                            .attention = attention},
                        row);
  row.name = ArmName(Precision::kEmulated, Granularity::kTensor, kNoClip);
  experiment.AddTwin(per_tensor_run, row);
}

void AddTwinsOfSchemes(Experiment& experiment) {
  const std::vector<ArmRow> rows = experiment.rows;
  for (const ArmRow& row : rows) {
    const Arm& run = experiment.runs[row.run];
    const bool int8 = run.precision == Precision::kInt8 && !row.scheme.empty();
    if (!int8) continue;
    experiment.AddTwin(row.run, {.name = fmt::format("emulated/{}", row.scheme),
                                 .run = 0,
                                 .granularity = InputScaling::kPlan,
                                 .clip_range = {}});
  }
}

std::optional<size_t> TimedRun(const Experiment& experiment) {
  const std::optional<size_t> chosen = experiment.ChosenRun(Precision::kInt8);
  for (size_t run = 0; chosen && run < experiment.runs.size(); ++run) {
    const Arm &arm = experiment.runs[run], &wanted = experiment.runs[*chosen];
    if (arm.precision != Precision::kInt8 || IsWatched(experiment, run)) continue;
    if (SameSteps(arm.plan, wanted.plan) && SameAttention(arm, wanted)) return run;
  }
  return std::nullopt;
}

void AddTimedRun(Experiment& experiment) {
  const std::optional<size_t> chosen = experiment.ChosenRun(Precision::kInt8);
  if (!chosen || TimedRun(experiment)) return;
  experiment.runs.push_back(Arm(experiment.runs[*chosen]));
}

}  // namespace w8a8
