// The plots of the page, made from a report's own numbers.
#pragma once

#include <vector>

#include "reports/report.h"
#include "reports/svg_plot.h"

namespace w8a8 {

// SQNR of every site, teacher-forced and propagated, of every arm that has site errors.
Plot ErrorByDepthPlot(const Report& report);
// SQNR of the main output over the clip range, one line per curve of the sweep. The chosen arm is a
// line across, and points that give its numbers are marked.
Plot SweepErrorPlot(const Report& report);
// The same for the share of images answered as the reference does; no points without a task.
Plot SweepAgreementPlot(const Report& report);

}  // namespace w8a8
