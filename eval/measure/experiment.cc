#include "eval/measure/experiment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

bool RunsPerToken(const Plan& plan) {
  return std::any_of(plan.sites.begin(), plan.sites.end(), [](const auto& entry) {
    return entry.second.input && !entry.second.input->is_static();
  });
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
    if (twin.int8 == int8_run) return;
  }
  Arm emulated = runs[int8_run];
  emulated.name = row.name;
  emulated.precision = Precision::kEmulated;
  twins.push_back({int8_run, AddRow(emulated, std::move(row))});
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

InputScaling ScalingOf(Granularity input) {
  return input == Granularity::kToken ? InputScaling::kPerToken : InputScaling::kPerTensor;
}

std::string ArmName(Precision precision, Granularity granularity, float clip_range) {
  return fmt::format("{}/{}/{}", NameOf(precision), NameOf(ScalingOf(granularity)), clip_range);
}

Plan SweepPlan(const std::vector<std::string>& sites, const SiteStatisticsMap& statistics,
               Granularity granularity, float clip_range) {
  return granularity == Granularity::kToken ? PerTokenPlan(sites, clip_range)
                                            : PerTensorPlan(sites, statistics, clip_range).plan;
}

Experiment SweepExperiment(const std::vector<std::string>& sites,
                           const SiteStatisticsMap& statistics, const SweepPoints& points,
                           FakeFlavour flavour, int weight_bits) {
  Experiment experiment;
  experiment.AddRow(Arm{.name = "fp16", .precision = Precision::kFp16, .plan = {}}, ArmRow{});
  for (const Granularity granularity : points.granularities) {
    for (const float clip_range : points.clip_ranges) {
      const Plan plan = SweepPlan(sites, statistics, granularity, clip_range);
      const ArmRow row{
          .name = "",
          .run = 0,
          .granularity = ScalingOf(granularity),
          .clip_range = std::isinf(clip_range) ? std::nullopt : std::optional<float>(clip_range)};
      for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
        const bool fake = precision == Precision::kFake;
        if (fake && IsVllmStatic(flavour) && RunsPerToken(plan)) continue;
        experiment.AddRow(Arm{.name = ArmName(precision, granularity, clip_range),
                              .precision = precision,
                              .plan = fake ? WithWeightBits(plan, weight_bits) : plan,
                              .flavour = flavour},
                          row);
      }
    }
  }
  return experiment;
}

void AddChosenPlan(Experiment& experiment, const Plan& plan, const std::optional<Plan>& per_tensor,
                   FakeFlavour flavour, int weight_bits) {
  ArmRow row{
      .name = "", .run = 0, .granularity = InputScaling::kPlan, .clip_range = {}, .chosen = true};
  if (!IsVllmStatic(flavour) || !RunsPerToken(plan)) {
    experiment.AddRow(Arm{.name = "fake/plan",
                          .precision = Precision::kFake,
                          .plan = WithWeightBits(plan, weight_bits),
                          .flavour = flavour},
                      row);
  }
  const size_t run =
      experiment.AddRow(Arm{.name = "int8/plan", .precision = Precision::kInt8, .plan = plan}, row);
  row.name = "emulated/plan";
  row.chosen = false;
  experiment.AddTwin(run, row);
  if (!per_tensor) return;
  row = {.name = "", .run = 0, .granularity = InputScaling::kPerTensor, .clip_range = {}};
  const size_t per_tensor_run =
      experiment.AddRow(Arm{.name = ArmName(Precision::kInt8, Granularity::kTensor, kNoClip),
                            .precision = Precision::kInt8,
                            .plan = *per_tensor},
                        row);
  row.name = ArmName(Precision::kEmulated, Granularity::kTensor, kNoClip);
  experiment.AddTwin(per_tensor_run, row);
}

}  // namespace w8a8
