// What a run found out at each site, as parts of a Report.
#pragma once

#include <vector>

#include "calib/make_plan.h"
#include "eval/job/report_experts.h"
#include "eval/measure/evaluate.h"
#include "reports/report.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// report.sites: the errors of the chosen arms and of the plan's parts. The report's arms are there,
// and they are the rows of the experiment.
void AddSites(const Graph& graph, const Evaluation& evaluation, Report& report);
// report.attention: the errors of the chosen arms' attention, where they were measured.
void AddAttention(const Graph& graph, const Evaluation& evaluation, Report& report);
// report.checks.
void AddChecks(const Graph& graph, const Evaluation& evaluation, Report& report);
// report.plan_choices: how the plan quantizes each site, and what else was tried (`choices`).
// `calibrated` is empty without calibration.
void AddChoices(const Graph& graph, const Plan& plan, const std::vector<SiteChoice>& choices,
                const RowsBySite& calibrated, Report& report);

}  // namespace w8a8
