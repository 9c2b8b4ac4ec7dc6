// The page's tables as data for the template. Numbers are pairs: `t` is shown, `v` is sorted by.
#pragma once

#include <kainjow/mustache.hpp>

#include "reports/report.h"
#include "reports/svg_plot.h"

namespace w8a8::html {

using Data = kainjow::mustache::data;

Data VerdictData(const Report& report);
Data RunData(const RunInfo& run);
Data ArmRows(const Report& report);        // fp16, the chosen arms and named arms
Data SchemeRows(const Report& report);     // what other systems call the schemes
Data SweepRows(const Report& report);      // the points of the sweep
Data OutputRows(const Report& report);     // every arm and output
Data GuiltyRows(const Report& report);     // the worst sites of the chosen INT8 arm
Data SiteRows(const Report& report);       // one row a site, both chosen arms, both views
Data CountsRow(const Report& report);      // the totals of the checks
Data CheckRows(const Report& report);      // one row a site
Data PassRows(const Report& report);       // one row a check pass
Data ExpertRows(const Report& report);     // what each expert gets
Data AttentionRows(const Report& report);  // one row an arm, view and block
Data RoutingRows(const Report& report);    // one row an arm and block
Data PlanRows(const Report& report);
Data HealthRows(const Report& report);
Data SkippedRows(const Report& report);
Data FactRows(const Report& report);
Data WorstImageRows(const Report& report);

// A plot and its legend for plot.mustache; false where there is nothing to draw.
Data PlotData(const Plot& plot);

// Text from outside, made valid UTF-8; the template escapes it.
Data Shown(const std::string& text);

}  // namespace w8a8::html
