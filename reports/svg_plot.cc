#include "reports/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "reports/text.h"

namespace w8a8 {
namespace {

// In units of the view box; small enough that 13-unit text is readable on a telephone.
constexpr double kWidth = 560, kHeight = 320;
constexpr double kLeft = 52, kRight = 14, kTop = 12, kBottom = 46;

// Maps one axis' values to view-box coordinates.
class AxisScale {
 public:
  AxisScale(const PlotAxis& axis, double from, double to) : axis_(axis), from_(from), to_(to) {}

  void Include(double value) {
    low_ = std::min(low_, Transformed(value));
    high_ = std::max(high_, Transformed(value));
  }
  // Room for markers at the ends; a single value gets an axis of its own.
  void Pad(double share) {
    const double room = high_ > low_ ? share * (high_ - low_) : 0.5;
    low_ -= room;
    high_ += room;
  }
  double Place(double value) const {
    return from_ + (Transformed(value) - low_) / (high_ - low_) * (to_ - from_);
  }
  std::vector<PlotTick> Ticks(int count) const {
    std::vector<PlotTick> ticks = axis_.ticks;
    if (ticks.empty()) ticks = RoundTicks(Restored(low_), Restored(high_), count);
    std::erase_if(ticks, [&](const PlotTick& tick) {
      const double at = Transformed(tick.at);
      return !(at >= low_ && at <= high_);
    });
    return ticks;
  }

 private:
  double Transformed(double value) const { return axis_.logarithmic ? std::log10(value) : value; }
  double Restored(double place) const { return axis_.logarithmic ? std::pow(10, place) : place; }

  const PlotAxis& axis_;
  double from_, to_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

bool Drawn(const PlotPoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

std::string RenderTicks(const AxisScale& x, const AxisScale& y) {
  std::string svg;
  for (const PlotTick& tick : y.Ticks(6)) {
    const double at = y.Place(tick.at);
    svg += fmt::format(R"(<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>)"
                       R"(<text class="tick" text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)",
                       kLeft, kWidth - kRight, at, at, kLeft - 6, at + 4, EscapeMarkup(tick.label));
  }
  for (const PlotTick& tick : x.Ticks(8)) {
    const double at = x.Place(tick.at);
    svg += fmt::format(R"(<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>)"
                       R"(<text class="tick" text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)",
                       at, at, kTop, kHeight - kBottom, at, kHeight - kBottom + 16,
                       EscapeMarkup(tick.label));
  }
  return svg;
}

std::string RenderLabels(const Plot& plot) {
  const double middle_x = (kLeft + kWidth - kRight) / 2;
  const double middle_y = (kTop + kHeight - kBottom) / 2;
  return fmt::format(
      R"(<text class="axis" text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)"
      R"svg(<text class="axis" text-anchor="middle" transform="translate(13 {:.1f}) rotate(-90)">{}</text>)svg",
      middle_x, kHeight - 8, EscapeMarkup(plot.x.label), middle_y, EscapeMarkup(plot.y.label));
}

std::string RenderLine(const PlotSeries& series, const AxisScale& x, const AxisScale& y) {
  std::string path;
  bool pen_down = false;
  for (const PlotPoint& point : series.points) {
    if (Drawn(point)) {
      path +=
          fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", x.Place(point.x), y.Place(point.y));
    }
    pen_down = Drawn(point);
  }
  return fmt::format(R"(<path class="line line-{}{}" d="{}"/>)", series.colour,
                     series.dashed ? " dashed" : "", path);
}

std::string RenderMarkers(const PlotSeries& series, const AxisScale& x, const AxisScale& y) {
  std::string svg;
  for (const PlotPoint& point : series.points) {
    if (!Drawn(point) || !(series.markers || point.marked)) continue;
    const double at_x = x.Place(point.x), at_y = y.Place(point.y);
    if (point.marked) {
      svg += fmt::format(R"(<circle class="chosen" cx="{:.1f}" cy="{:.1f}" r="8"/>)", at_x, at_y);
    }
    svg += fmt::format(
        R"(<circle class="dot line-{}{}" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>)",
        series.colour, series.dashed ? " hollow" : "", at_x, at_y, EscapeMarkup(point.title));
  }
  return svg;
}

}  // namespace

std::vector<PlotTick> RoundTicks(double low, double high, int count) {
  if (!(high > low) || !std::isfinite(high - low)) return {{low, fmt::format("{:g}", low)}};
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  }
  std::vector<PlotTick> ticks;
  for (double i = std::ceil(low / step); i * step <= high; ++i) {
    const double at = i == 0 ? 0.0 : i * step;  // never "-0"
    ticks.push_back({at, fmt::format("{:.6g}", at)});
  }
  return ticks;
}

std::string RenderSvg(const Plot& plot) {
  AxisScale x(plot.x, kLeft, kWidth - kRight);
  AxisScale y(plot.y, kHeight - kBottom, kTop);
  bool any = false;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      if (!Drawn(point)) continue;
      x.Include(point.x);
      y.Include(point.y);
      any = true;
    }
  }
  if (!any) return "";
  x.Pad(0.03);
  y.Pad(0.06);

  std::string svg =
      fmt::format(R"(<svg class="plot" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)",
                  kWidth, kHeight, EscapeMarkup(plot.title));
  svg += RenderTicks(x, y) + RenderLabels(plot);
  for (const PlotSeries& series : plot.series) svg += RenderLine(series, x, y);
  for (const PlotSeries& series : plot.series) svg += RenderMarkers(series, x, y);
  return svg + "</svg>";
}

}  // namespace w8a8
