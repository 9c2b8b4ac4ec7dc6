#include "eval/job/report_sites.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "eval/job/plan_words.h"

namespace w8a8 {
namespace {

// The rows of the report's arms are those of the experiment.
std::vector<SiteReport> BuildSites(const Graph& graph, const Evaluation& evaluation,
                                   SiteNames& names) {
  const std::map<std::string, int> stages = graph.StagesOfSites();
  const std::vector<ArmRow>& rows = evaluation.experiment.rows;
  std::vector<SiteReport> sites;
  for (size_t arm = 0; arm < rows.size(); ++arm) {
    if (!rows[arm].chosen && !rows[arm].part) continue;
    for (const View view : {View::kTeacherForced, View::kPropagated}) {
      for (const std::string& site : graph.Sites()) {
        const auto meters = evaluation.sites.find({rows[arm].run, view, site});
        if (meters == evaluation.sites.end()) continue;
        const ErrorSummary summary = meters->second.output.Summarize();
        const ErrorSummary input = meters->second.input.Summarize();
        sites.push_back({.site = names.Add(site),
                         .arm = {arm},
                         .view = view,
                         .block = stages.at(site) - 1,
                         .sqnr_db = summary.sqnr_db,
                         .exact = summary.exact,
                         .relative_l2 = summary.relative_l2,
                         .cosine = summary.cosine_mean,
                         .max_abs = summary.max_abs,
                         .mean_error = summary.mean_error,
                         .saturation = summary.saturation,
                         .input_sqnr_db = input.sqnr_db,
                         .nonfinite = summary.nonfinite});
      }
    }
  }
  return sites;
}

// Which share of the chosen INT8 arm's noise the weights alone make, site by site and view by view:
// both errors are relative to the same reference outputs.
void AddWeightShares(Report& report) {
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  const std::optional<ArmRef> weights = PartArm(report, PlanPart::kWeights);
  if (!chosen || !weights) return;
  std::map<std::pair<SiteRef, View>, double> alone;  // relative L2
  for (const SiteReport& site : report.sites) {
    if (site.arm == weights) alone[{site.site, site.view}] = site.relative_l2;
  }
  for (SiteReport& site : report.sites) {
    const auto found = alone.find({site.site, site.view});
    if (site.arm != chosen || found == alone.end() || !(site.relative_l2 > 0)) continue;
    const double ratio = found->second / site.relative_l2;
    if (std::isfinite(ratio)) site.weight_share = ratio * ratio;
  }
}

void AddCounts(const SiteChecks& from, CheckCounts& to) {
  // The weights' column sums are int32 products with a row of ones, and count as such.
  to.int32_compared += from.int32_compared + from.code_sums_compared;
  to.int32_mismatches += from.int32_mismatches + from.code_sum_mismatches;
  to.codes_compared += from.codes_compared;
  to.code_mismatches += from.code_mismatches();
  to.code_differences.none += from.code_differences[0];
  to.code_differences.one += from.code_differences[1];
  to.code_differences.more += from.code_differences[2];
  // Input scales and transformed rows are outputs of the quantizer's, and count as such.
  to.outputs_compared += from.outputs_compared + from.scales_compared + from.transformed_compared;
  to.output_mismatches +=
      from.output_mismatches + from.scale_mismatches + from.transformed_mismatches;
  to.float_outputs_compared += from.float_outputs_compared;
  to.float_output_mismatches += from.float_output_mismatches;
  to.nonfinite += from.nonfinite;
}

CheckCounts CountsAt(const std::string& site, const Checks& checks) {
  CheckCounts counts;
  for (const auto& [key, found] : checks) {
    if (key.place == site) AddCounts(found, counts);
  }
  return counts;
}

// What the plan says of the site, which has `inputs`.
PlanChoice ChoiceOf(const std::string& site, int64_t inputs, const Plan& plan) {
  PlanChoice choice;
  const auto planned = plan.sites.find(site);
  if (planned == plan.sites.end()) return choice;
  const SitePlan as_run = Normalized(planned->second, inputs);
  choice.granularity = ScalingOf(as_run.input);
  choice.layer = LayerText(as_run);
  if (as_run.output) choice.output_scale = static_cast<double>(as_run.output->scale);
  if (!as_run.input) return choice;
  const Quantizer& input = *as_run.input;
  choice.rule = std::isinf(input.clip_range) ? "no clip" : "clip range";
  if (!std::isinf(input.clip_range)) choice.clip_range = static_cast<double>(input.clip_range);
  if (!input.is_static()) return choice;
  choice.scale = static_cast<double>(input.scale);
  if (!input.symmetric) choice.zero_point = static_cast<double>(input.zero_point);
  return choice;
}

}  // namespace

void AddSites(const Graph& graph, const Evaluation& evaluation, Report& report) {
  report.sites = BuildSites(graph, evaluation, report.site_names);
  AddWeightShares(report);
}

void AddAttention(const Graph& graph, const Evaluation& evaluation, Report& report) {
  const std::vector<ArmRow>& rows = evaluation.experiment.rows;
  for (size_t arm = 0; arm < rows.size(); ++arm) {
    if (!rows[arm].chosen) continue;
    for (const auto& [key, meter] : evaluation.attention) {
      if (key.run != rows[arm].run) continue;
      const ErrorSummary summary = meter.Summarize();
      AttentionReport& attention = report.attention.emplace_back();
      if (key.block < graph.config.blocks) attention.block = key.block;
      attention.arm = {arm};
      attention.view = key.view;
      attention.sqnr_db = summary.sqnr_db;
      attention.exact = summary.exact;
      attention.relative_l2 = summary.relative_l2;
      attention.cosine = summary.cosine_mean;
      attention.max_abs = summary.max_abs;
      attention.mean_error = summary.mean_error;
      attention.nonfinite = summary.nonfinite;
    }
  }
}

void AddChecks(const Graph& graph, const Evaluation& evaluation, Report& report) {
  const Experiment& experiment = evaluation.experiment;
  for (const TwinRuns& twin : experiment.twins) {
    CheckPass pass{.name = experiment.runs[twin.emulated].name,
                   .images = static_cast<uint64_t>(evaluation.run.images),
                   .counts = {}};
    for (const auto& [key, checks] : evaluation.checks) {
      if (key.run != twin.emulated) continue;
      AddCounts(checks, pass.counts);
      AddCounts(checks, report.checks.total);
    }
    report.checks.passes.push_back(std::move(pass));
  }
  for (const std::string& site : graph.Sites()) {
    report.checks.sites.push_back({report.site_names.Add(site), CountsAt(site, evaluation.checks)});
  }
}

void AddChoices(const Graph& graph, const Plan& plan, const std::vector<SiteChoice>& choices,
                const RowsBySite& calibrated, Report& report) {
  for (const std::string& site : graph.Sites()) {
    PlanChoice choice = ChoiceOf(site, graph.InputsOf(site), plan);
    const auto rows = calibrated.find(site);
    const bool unseen = rows != calibrated.end() && rows->second == 0;
    if (unseen && !plan.sites.contains(site)) choice.rule = kNoRows;
    choice.site = report.site_names.Add(site);
    for (const SiteChoice& tried : choices) {
      if (tried.site != site) continue;
      if (!tried.rule.empty()) choice.rule = tried.rule;
      for (const RuleResult& rule : tried.candidates) {
        choice.candidates.push_back({.rule = rule.rule,
                                     .clip_range = static_cast<double>(rule.clip),
                                     .sqnr_db = -10 * std::log10(rule.error)});
      }
    }
    report.plan_choices.push_back(std::move(choice));
  }
}

}  // namespace w8a8
