// What a run found out about the experts of a mixture, as parts of a Report.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "eval/measure/evaluate.h"
#include "reports/report.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Rows that calibration saw, by site.
using RowsBySite = std::map<std::string, uint64_t>;
RowsBySite CalibratedRows(const SiteStatisticsMap& statistics);

// "blocks.3.mlp.experts.1", as the names of its sites begin.
std::string ExpertName(int64_t block, int64_t expert);

// The experts of `graph` that fewer than `minimum` calibration tokens came to, by block and number.
std::vector<std::string> RareExperts(const Graph& graph, const SiteStatisticsMap& statistics,
                                     uint64_t minimum);
// Those that `report` marks.
std::vector<std::string> RareExperts(const Report& report);
// What such experts got: "fewer than 20 tokens".
std::string FewerTokens(uint64_t minimum);

// report.experts, report.routing and each arm's routing_changed; nothing without experts. The
// report's arms are there, and they are the rows of the experiment. `calibrated` is empty without
// calibration.
void AddExperts(const Evaluation& evaluation, const RowsBySite& calibrated, uint64_t minimum,
                Report& report);

}  // namespace w8a8
