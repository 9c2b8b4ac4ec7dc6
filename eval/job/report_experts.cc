#include "eval/job/report_experts.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace w8a8 {
namespace {

// Its fc1 gets the tokens that come to it.
std::string FirstSite(int64_t block, int64_t expert) {
  return SiteName(block, ExpertStem(expert) + ".fc1");
}

double Share(uint64_t part, uint64_t all) {
  return all == 0 ? kUndefined : static_cast<double>(part) / static_cast<double>(all);
}

void AddRouting(const Evaluation& evaluation, Report& report) {
  const std::vector<ArmRow>& rows = evaluation.experiment.rows;
  for (size_t arm = 0; arm < rows.size(); ++arm) {
    RoutingChange all;
    for (const auto& [place, change] : evaluation.routing.changes) {
      if (place.run != rows[arm].run) continue;
      report.routing.push_back({.arm = {arm},
                                .block = place.block,
                                .tokens = change.tokens,
                                .routing_changed = Share(change.changed, change.tokens)});
      MergeResult(all, change);
    }
    if (all.tokens > 0) report.arms[arm].routing_changed = Share(all.changed, all.tokens);
  }
}

}  // namespace

RowsBySite CalibratedRows(const SiteStatisticsMap& statistics) {
  RowsBySite rows;
  for (const auto& [site, seen] : statistics) rows[site] = seen.Rows();
  return rows;
}

std::string ExpertName(int64_t block, int64_t expert) {
  return SiteName(block, ExpertStem(expert));
}

std::vector<std::string> RareExperts(const Graph& graph, const SiteStatisticsMap& statistics,
                                     uint64_t minimum) {
  const MixtureConfig& mixture = graph.config.mixture;
  std::vector<std::string> rare;
  for (int64_t block = 0; block < graph.config.blocks; ++block) {
    if (!mixture.in(block)) continue;
    for (int64_t e = 0; e < mixture.experts; ++e) {
      const auto seen = statistics.find(FirstSite(block, e));
      const bool enough = seen != statistics.end() && seen->second.Rows() >= minimum;
      if (!enough) rare.push_back(ExpertName(block, e));
    }
  }
  return rare;
}

std::vector<std::string> RareExperts(const Report& report) {
  std::vector<std::string> rare;
  for (const ExpertReport& expert : report.experts) {
    if (expert.below_minimum) rare.push_back(ExpertName(expert.block, expert.expert));
  }
  return rare;
}

std::string FewerTokens(uint64_t minimum) {
  return fmt::format("fewer than {} token{}", minimum, minimum == 1 ? "" : "s");
}

void AddExperts(const Evaluation& evaluation, const RowsBySite& calibrated, uint64_t minimum,
                Report& report) {
  for (const auto& [block, experts] : CoverageOf(evaluation.routing)) {
    for (size_t e = 0; e < experts.size(); ++e) {
      const ExpertCoverage& seen = experts[e];
      ExpertReport expert{.block = block,
                          .expert = static_cast<int64_t>(e),
                          .tokens = seen.tokens,
                          .share = Share(seen.tokens, seen.all_tokens),
                          .images = seen.images,
                          .calibration_tokens = std::nullopt,
                          .below_minimum = seen.tokens < minimum};
      const auto rows = calibrated.find(FirstSite(block, expert.expert));
      if (rows != calibrated.end()) {
        expert.calibration_tokens = rows->second;
        expert.below_minimum = std::min(seen.tokens, rows->second) < minimum;
      }
      report.experts.push_back(expert);
    }
  }
  if (report.experts.empty()) return;
  report.min_expert_tokens = minimum;
  AddRouting(evaluation, report);
  const std::vector<std::string> rare = RareExperts(report);
  if (rare.empty()) return;
  report.health.push_back(
      {.level = "note",
       .site = "",
       .text = fmt::format("{} of {} experts got {} of the images judged or calibrated on: {}.",
                           rare.size(), report.experts.size(), FewerTokens(minimum),
                           fmt::join(rare, ", "))});
}

}  // namespace w8a8
