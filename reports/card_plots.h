// The plots of one site's card.
#pragma once

#include "reports/report.h"
#include "reports/svg_plot.h"

namespace w8a8 {

// `choice`: how the plan treats the site; nullptr where nothing is known of it.

// What is plotted of counts: the share of all inputs in each bin, for one power of two in magnitude
// (the bins are linear within each); and the share of each code.
std::vector<double> SharePerOctave(const SiteCard& card, const std::vector<uint64_t>& counts);
std::vector<double> CodeShare(const SiteCard& card);

// Share of the inputs by magnitude, both axes logarithmic, each sign a line; the clip is marked.
// Magnitudes more than 2^-14 below the largest are not drawn: they are code 0 at every clip.
Plot DistributionPlot(const SiteCard& card, const std::string& site, const PlanChoice* choice);
// Mean squared error of the input under one static scale over the clip.
Plot ClipErrorPlot(const SiteCard& card, const std::string& site, const PlanChoice* choice);
Plot ChannelPlot(const SiteCard& card, const std::string& site);
Plot PositionPlot(const SiteCard& card, const std::string& site);
Plot CodePlot(const SiteCard& card, const std::string& site);

// What CodePlot() amounts to.
struct CodeUse {
  int used = 0;      // of the 255 codes, 256 with zero points
  double zeros = 0;  // fraction of the inputs with the code of 0.0
  double ends = 0;   // with the lowest code or 127
  double entropy_bits = 0;
};
// `zero_code` is the code of 0.0: a static zero point, else 0.
CodeUse CodeUseOf(const SiteCard& card, int zero_code = 0);

}  // namespace w8a8
