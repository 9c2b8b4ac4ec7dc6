#include "reports/report_plots.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "reports/text.h"

namespace w8a8 {
namespace {

constexpr int kWeightsColour = 3;

int ColourOf(Precision precision) { return precision == Precision::kInt8 ? 0 : 1; }

// One tick where a block begins; every second, third, ... one if there are many blocks.
std::vector<PlotTick> BlockTicks(const Report& report) {
  std::map<SiteRef, std::optional<int64_t>> blocks;
  for (const SiteReport& row : report.sites) blocks.try_emplace(row.site, row.block);
  std::vector<PlotTick> ticks;
  std::optional<int64_t> block_before;
  for (const auto& [site, block] : blocks) {
    if (block && block != block_before) {
      ticks.push_back({static_cast<double>(site.index), fmt::format("{}", *block)});
    }
    block_before = block;
  }
  const size_t every = ticks.size() / 16 + 1;
  std::vector<PlotTick> kept;
  for (size_t i = 0; i < ticks.size(); i += every) kept.push_back(ticks[i]);
  return kept;
}

PlotSeries DepthSeries(const Report& report, ArmRef arm, View view) {
  const bool forced = view == View::kTeacherForced;
  PlotSeries series;
  series.label = fmt::format("{}, {}", report[arm].name, forced ? "teacher-forced" : NameOf(view));
  series.colour = report[arm].part ? kWeightsColour : ColourOf(report[arm].precision);
  series.dashed = !forced;
  for (const SiteReport& site : report.sites) {
    if (site.arm != arm || site.view != view) continue;
    series.points.push_back({.x = static_cast<double>(site.site.index),
                             .y = site.sqnr_db,
                             .title = fmt::format("{}\n{}: {} dB", report[site.site], series.label,
                                                  FormatDb(site.sqnr_db))});
  }
  std::stable_sort(series.points.begin(), series.points.end(),
                   [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  return series;
}

using Figure = std::function<Estimate(const ArmReport&)>;
using Format = std::string (*)(double);

// No clip stands one step of the scale beyond the largest clip range.
double PlaceOfNoClip(const Report& report) {
  double largest = 1;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const ArmRef arm : curve.arms) {
      largest = std::max(largest, report[arm].clip_range.value_or(1));
    }
  }
  return 2 * largest;
}

std::vector<PlotTick> ClipTicks(const Report& report) {
  std::vector<PlotTick> ticks;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const ArmRef arm : curve.arms) {
      const std::optional<double> clip = report[arm].clip_range;
      ticks.push_back({clip.value_or(PlaceOfNoClip(report)),
                       clip ? fmt::format("{:g}", *clip) : std::string("no clip")});
    }
  }
  std::sort(ticks.begin(), ticks.end(),
            [](const PlotTick& a, const PlotTick& b) { return a.at < b.at; });
  const auto same = [](const PlotTick& a, const PlotTick& b) { return a.at == b.at; };
  ticks.erase(std::unique(ticks.begin(), ticks.end(), same), ticks.end());
  return ticks;
}

PlotSeries SweepSeries(const Report& report, const SweepCurve& curve, const Figure& figure,
                       Format format, const char* unit) {
  PlotSeries series;
  series.label = fmt::format("{}, {}", NameOf(curve.precision), NameOf(curve.granularity));
  series.colour = ColourOf(curve.precision);
  series.dashed = curve.granularity != InputScaling::kPerToken;
  const std::optional<ArmRef> chosen = ChosenArm(report, curve.precision);
  for (const ArmRef ref : curve.arms) {
    const ArmReport& arm = report[ref];
    const Estimate estimate = figure(arm);
    const bool marked = arm.chosen || (chosen && curve.precision == Precision::kInt8 &&
                                       figure(report[*chosen]).value == estimate.value);
    series.points.push_back(
        {.x = arm.clip_range.value_or(PlaceOfNoClip(report)),
         .y = estimate.value,
         .title = fmt::format("{}\n{} {}", arm.name, FormatEstimate(estimate, format), unit),
         .marked = marked});
  }
  return series;
}

// The chosen plan need not be a point of the sweep: a bare line across at its figure.
void AddChosenLine(Plot& plot, const Report& report, const Figure& figure) {
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  if (!chosen || plot.x.ticks.empty()) return;
  const double y = figure(report[*chosen]).value;
  PlotSeries line{
      .label = fmt::format("chosen: {}", report[*chosen].name), .colour = 2, .points = {}};
  line.markers = false;
  line.points = {{.x = plot.x.ticks.front().at, .y = y, .title = ""},
                 {.x = plot.x.ticks.back().at, .y = y, .title = ""}};
  plot.series.push_back(std::move(line));
}

// The broad lines of fake go under the narrow ones of int8.
void DrawFakeFirst(Plot& plot) {
  std::stable_sort(
      plot.series.begin(), plot.series.end(), [](const PlotSeries& a, const PlotSeries& b) {
        return (a.colour == ColourOf(Precision::kFake)) > (b.colour == ColourOf(Precision::kFake));
      });
}

Plot SweepPlot(const Report& report, const Figure& figure, Format format, const char* unit) {
  Plot plot;
  plot.x = {.label = "clip range", .logarithmic = true, .ticks = ClipTicks(report)};
  AddChosenLine(plot, report, figure);
  for (const SweepCurve& curve : SweepCurves(report)) {
    plot.series.push_back(SweepSeries(report, curve, figure, format, unit));
  }
  DrawFakeFirst(plot);
  return plot;
}

}  // namespace

Plot ErrorByDepthPlot(const Report& report) {
  Plot plot;
  plot.title = "Error of every linear layer, in the order of the encoder";
  plot.x = {.label = "block", .logarithmic = false, .ticks = BlockTicks(report)};
  if (plot.x.ticks.empty()) plot.x.label = "site";
  plot.y.label = "SQNR, dB (higher is better)";
  std::vector<std::pair<ArmRef, View>> drawn;
  for (const SiteReport& site : report.sites) {
    const std::pair key(site.arm, site.view);
    if (std::find(drawn.begin(), drawn.end(), key) != drawn.end()) continue;
    drawn.push_back(key);
    plot.series.push_back(DepthSeries(report, site.arm, site.view));
  }
  DrawFakeFirst(plot);
  return plot;
}

Plot SweepErrorPlot(const Report& report) {
  const std::string output = MainOutput(report);
  const auto sqnr_db = [output](const ArmReport& arm) {
    const OutputErrors* errors = ErrorsOf(arm, output);
    return errors == nullptr ? Estimate{} : errors->sqnr_db;
  };
  Plot plot = SweepPlot(report, sqnr_db, FormatDb, "dB");
  plot.title = fmt::format("SQNR of the {} over the clip range", output);
  plot.y.label = fmt::format("SQNR of the {}, dB", output);
  return plot;
}

Plot SweepAgreementPlot(const Report& report) {
  const auto percent = [](const ArmReport& arm) {
    const Estimate share = arm.agreement.value_or(Estimate{});
    return Estimate{100 * share.value, 100 * share.low, 100 * share.high};
  };
  const Format one_digit = [](double value) {
    return std::isfinite(value) ? fmt::format("{:.1f}", value) : std::string("–");
  };
  Plot plot = SweepPlot(report, percent, one_digit, "%");
  plot.title = "Share of images answered as the reference does, over the clip range";
  plot.y.label = "same top-1 as FP16, %";
  return plot;
}

}  // namespace w8a8
