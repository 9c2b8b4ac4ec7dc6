#include "reports/card_plots.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "reports/text.h"

namespace w8a8 {
namespace {

constexpr double kStripHeight = 170;
constexpr double kCommonClip = 5;  // CLIP_RANGE, which many encoders carry

PlotSeries Dense(std::string label, int colour, std::vector<PlotPoint> points) {
  PlotSeries series{.label = std::move(label), .colour = colour, .points = std::move(points)};
  series.dense = true;
  return series;
}

// One point for each group of `per_point` channels or tokens, at the group's first number.
std::vector<PlotPoint> Grouped(const std::vector<double>& values, int64_t per_point) {
  std::vector<PlotPoint> points;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto first = static_cast<double>(static_cast<int64_t>(i) * per_point);
    points.push_back({.x = first, .y = values[i], .title = ""});
  }
  return points;
}

std::vector<PlotPoint> SharesOf(const SiteCard& card, const std::vector<uint64_t>& counts) {
  const std::vector<double> shares = SharePerOctave(card, counts);
  std::vector<PlotPoint> points;
  for (size_t b = 0; b < shares.size(); ++b) {
    const double low = card.bin_edge[b], high = card.bin_edge[b + 1];
    if (high < card.absmax * 0x1p-14 || low > card.absmax || low <= 0) continue;
    points.push_back({.x = std::sqrt(low * high), .y = shares[b], .title = ""});
  }
  return points;
}

double Sum(const std::vector<uint64_t>& counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), uint64_t{0}));
}

std::string Numbered(const char* what, int64_t per_point) {
  return per_point == 1 ? what : fmt::format("{} (groups of {})", what, per_point);
}

// The clips that mean something at this site: the plan's, the classic constant, what else was
// tried.
std::vector<PlotMark> ClipMarks(const SiteCard& card, const PlanChoice* choice) {
  std::vector<PlotMark> marks;
  if (choice != nullptr && choice->clip_range) {
    marks.push_back({*choice->clip_range, fmt::format("clip {:.3g}", *choice->clip_range), 2});
  } else if (choice != nullptr && choice->granularity != InputScaling::kFp16) {
    marks.push_back({card.absmax, fmt::format("largest {:.3g}, no clip", card.absmax), 2});
  }
  if (card.absmax > kCommonClip) marks.push_back({kCommonClip, "CLIP_RANGE 5", 3});
  return marks;
}

}  // namespace

std::vector<double> SharePerOctave(const SiteCard& card, const std::vector<uint64_t>& counts) {
  const double total =
      Sum(card.negative_count) + Sum(card.positive_count) + static_cast<double>(card.zero_count);
  std::vector<double> shares;
  for (size_t b = 0; b < counts.size(); ++b) {
    const double octaves = std::log2(card.bin_edge[b + 1] / card.bin_edge[b]);  // inf for the first
    shares.push_back(total > 0 ? static_cast<double>(counts[b]) / total / octaves : 0);
  }
  return shares;
}

std::vector<double> CodeShare(const SiteCard& card) {
  const double total = Sum(card.code_count);
  std::vector<double> shares;
  for (const uint64_t count : card.code_count) {
    shares.push_back(total > 0 ? static_cast<double>(count) / total : 0);
  }
  return shares;
}

Plot DistributionPlot(const SiteCard& card, const std::string& site, const PlanChoice* choice) {
  Plot plot;
  plot.title = fmt::format("Distribution of the input of {}", site);
  plot.x = {.label = "|input|", .logarithmic = true, .ticks = {}};
  plot.y = {.label = "share per octave", .logarithmic = true, .ticks = {}};
  plot.series = {Dense("above zero", 0, SharesOf(card, card.positive_count)),
                 Dense("below zero", 1, SharesOf(card, card.negative_count))};
  plot.marks = ClipMarks(card, choice);
  plot.height = 240;
  return plot;
}

Plot ClipErrorPlot(const SiteCard& card, const std::string& site, const PlanChoice* choice) {
  std::vector<PlotPoint> points;
  for (size_t i = 0; i < card.clip.size(); ++i) {
    points.push_back({.x = card.clip[i], .y = card.clip_mse[i], .title = ""});
  }
  Plot plot;
  plot.title = fmt::format("Error of the input of {} over the clip", site);
  plot.x = {.label = "clip of one static scale", .logarithmic = true, .ticks = {}};
  plot.y = {.label = "mean squared error", .logarithmic = true, .ticks = {}};
  plot.marks = ClipMarks(card, choice);
  const auto best = std::min_element(card.clip_mse.begin(), card.clip_mse.end());
  if (best != card.clip_mse.end()) {
    const double clip = card.clip[static_cast<size_t>(best - card.clip_mse.begin())];
    plot.marks.push_back({clip, fmt::format("least error {:.3g}", clip), 0});
  }
  plot.series = {Dense("static, per-tensor", 0, std::move(points))};
  plot.height = 240;
  return plot;
}

Plot ChannelPlot(const SiteCard& card, const std::string& site) {
  Plot plot;
  plot.title = fmt::format("Largest input of {} by channel", site);
  plot.x.label = Numbered("channel", card.channels_per_point);
  plot.y = {.label = "abs-max", .logarithmic = true, .ticks = {}};
  plot.series = {Dense("abs-max", 0, Grouped(card.channel_absmax, card.channels_per_point))};
  plot.series[0].area = true;
  plot.height = kStripHeight;
  return plot;
}

Plot PositionPlot(const SiteCard& card, const std::string& site) {
  Plot plot;
  plot.title = fmt::format("Per-token scale of the input of {} by token position", site);
  plot.x.label = Numbered("token position", card.tokens_per_point);
  plot.y = {.label = "scale", .logarithmic = true, .ticks = {}};
  plot.series = {Dense("largest", 0, Grouped(card.position_scale, card.tokens_per_point)),
                 Dense("mean", 1, Grouped(card.position_scale_mean, card.tokens_per_point))};
  plot.height = kStripHeight;
  return plot;
}

Plot CodePlot(const SiteCard& card, const std::string& site) {
  const std::vector<double> shares = CodeShare(card);
  std::vector<PlotPoint> points;
  for (size_t i = 0; i < shares.size(); ++i) {
    const int code = card.lowest_code() + static_cast<int>(i);
    points.push_back({.x = static_cast<double>(code), .y = shares[i], .title = ""});
  }
  Plot plot;
  plot.title = fmt::format("Codes that the input of {} becomes", site);
  plot.x.label = "code";
  plot.y = {.label = "share of values", .logarithmic = true, .ticks = {}};
  plot.series = {Dense("int8", 0, std::move(points))};
  plot.series[0].area = true;
  plot.height = kStripHeight;
  return plot;
}

CodeUse CodeUseOf(const SiteCard& card, int zero_code) {
  CodeUse use;
  const std::vector<double> shares = CodeShare(card);
  if (Sum(card.code_count) == 0) return use;
  for (const double share : shares) {
    use.used += share > 0 ? 1 : 0;
    if (share > 0) use.entropy_bits -= share * std::log2(share);
  }
  use.zeros = shares.at(static_cast<size_t>(zero_code - card.lowest_code()));
  use.ends = shares.front() + shares.back();
  return use;
}

}  // namespace w8a8
