#include "reports/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "reports/text.h"

namespace w8a8 {
namespace {

// In units of the view box; small enough that 13-unit text is readable on a telephone.
constexpr double kWidth = 560;
constexpr double kLeft = 64, kRight = 14, kTop = 12, kBottom = 46;

// Maps one axis' values to view-box coordinates.
class AxisScale {
 public:
  AxisScale(const PlotAxis& axis, double from, double to) : axis_(axis), from_(from), to_(to) {}

  bool Has(double value) const {
    return std::isfinite(value) && !(axis_.logarithmic && value <= 0);
  }
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
  bool Shows(double value) const {
    return Has(value) && Transformed(value) >= low_ && Transformed(value) <= high_;
  }
  std::vector<PlotTick> Ticks(int count) const {
    std::vector<PlotTick> ticks = axis_.ticks;
    if (ticks.empty()) {
      const double low = Restored(low_), high = Restored(high_);
      ticks = axis_.logarithmic ? LogTicks(low, high, count) : RoundTicks(low, high, count);
    }
    std::erase_if(ticks, [&](const PlotTick& tick) { return !Shows(tick.at); });
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

// A plot with both its axes scaled.
struct Canvas {
  explicit Canvas(const Plot& p)
      : plot(p), bottom(p.height - kBottom), x(p.x, kLeft, kWidth - kRight), y(p.y, bottom, kTop) {}

  bool Has(const PlotPoint& point) const { return x.Has(point.x) && y.Has(point.y); }

  const Plot& plot;
  double bottom;
  AxisScale x, y;
};

std::string RenderTicks(const Canvas& canvas) {
  std::string svg;
  for (const PlotTick& tick : canvas.y.Ticks(canvas.plot.height > 200 ? 6 : 4)) {
    const double at = canvas.y.Place(tick.at);
    svg += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>)"
                       R"(<text class="tick" text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)",
                       kLeft, at, kWidth - kRight, kLeft - 6, at + 4, EscapeMarkup(tick.label));
  }
  for (const PlotTick& tick : canvas.x.Ticks(8)) {
    const double at = canvas.x.Place(tick.at);
    svg += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>)"
                       R"(<text class="tick" text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)",
                       at, kTop, canvas.bottom, at, canvas.bottom + 16, EscapeMarkup(tick.label));
  }
  return svg;
}

std::string RenderLabels(const Canvas& canvas) {
  return fmt::format(
      R"(<text class="axis" text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)"
      R"svg(<text class="axis" text-anchor="middle" transform="translate(13 {:.1f}) rotate(-90)">{}</text>)svg",
      (kLeft + kWidth - kRight) / 2, canvas.plot.height - 8, EscapeMarkup(canvas.plot.x.label),
      (kTop + canvas.bottom) / 2, EscapeMarkup(canvas.plot.y.label));
}

// Labels of marks that stand close together go below each other.
std::string RenderMarks(const Canvas& canvas) {
  std::string svg;
  double line = kTop + 10;
  for (const PlotMark& mark : canvas.plot.marks) {
    if (!canvas.x.Shows(mark.at)) continue;
    const double at = canvas.x.Place(mark.at);
    const bool left = at > (kLeft + kWidth) / 2;
    svg +=
        fmt::format(R"(<path class="mark line-{}" d="M{:.1f} {:.1f}V{:.1f}"/>)"
                    R"(<text class="mark-label" text-anchor="{}" x="{:.1f}" y="{:.1f}">{}</text>)",
                    mark.colour, at, kTop, canvas.bottom, left ? "end" : "start",
                    left ? at - 5 : at + 5, line, EscapeMarkup(mark.label));
    line += 15;
  }
  return svg;
}

// What the script shows on hover, one number for each point of the path; evenly spaced abscissas
// as "first:step".
std::string DenseValues(const Canvas& canvas, const std::vector<PlotPoint>& points) {
  std::string x, y;
  bool even = true;
  const double step = points.size() > 1 ? points[1].x - points[0].x : 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const double expected = points[0].x + static_cast<double>(i) * step;
    even = even && std::fabs(points[i].x - expected) <= 1e-9 * std::fabs(expected);
    x += fmt::format("{}{:.3g}", i == 0 ? "" : ",", points[i].x);
    y += fmt::format("{}{:.3g}", i == 0 ? "" : ",", points[i].y);
  }
  if (even) x = fmt::format("{:g}:{:g}", points[0].x, step);
  return fmt::format(R"( data-x="{}" data-y="{}" data-xname="{}" data-yname="{}")", x, y,
                     EscapeMarkup(canvas.plot.x.label), EscapeMarkup(canvas.plot.y.label));
}

std::string RenderLine(const PlotSeries& series, const Canvas& canvas) {
  std::string path;
  std::vector<PlotPoint> drawn;
  bool pen_down = false;
  for (size_t i = 0; i < series.points.size(); ++i) {
    const PlotPoint& point = series.points[i];
    const bool has = canvas.Has(point);
    if (has) {
      const double x = canvas.x.Place(point.x), y = canvas.y.Place(point.y);
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", x, y);
      drawn.push_back(point);
    }
    pen_down = has;
  }
  if (drawn.empty()) return "";
  // The corners on the axis are written with a comma: report.js takes the others for points.
  const bool area = series.area && drawn.size() == series.points.size();
  if (area) {
    path = fmt::format("M{:.1f},{:.1f}L{}V{:.1f}", canvas.x.Place(drawn.front().x), canvas.bottom,
                       path.substr(1), canvas.bottom);
  }
  return fmt::format(R"(<path class="line line-{}{}{}{}"{} d="{}"/>)", series.colour,
                     series.dashed ? " dashed" : "", series.dense ? " dense" : "",
                     area ? " area" : "", series.dense ? DenseValues(canvas, drawn) : "", path);
}

std::string RenderMarkers(const PlotSeries& series, const Canvas& canvas) {
  std::string svg;
  for (const PlotPoint& point : series.points) {
    const bool wanted = point.marked || (series.markers && !series.dense);
    if (!wanted || !canvas.Has(point)) continue;
    const double at_x = canvas.x.Place(point.x), at_y = canvas.y.Place(point.y);
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

std::vector<PlotTick> LogTicks(double low, double high, int count) {
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const int every = (last - first) / count + 1;
  const bool few = last - first <= count / 2;
  std::vector<PlotTick> ticks;
  for (int decade = first; decade <= last; decade += every) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double at = factor * std::pow(10, decade);
      if ((few || factor == 1.0) && at >= low && at <= high) {
        const bool tiny = at < 0.001;  // "1e-4", not "0.0001": it must not reach the label
        ticks.push_back(
            {at, tiny ? fmt::format("{:g}e{}", factor, decade) : fmt::format("{:g}", at)});
      }
    }
  }
  return ticks;
}

std::string RenderSvg(const Plot& plot) {
  Canvas canvas(plot);
  bool any = false;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      if (!canvas.Has(point)) continue;
      canvas.x.Include(point.x);
      canvas.y.Include(point.y);
      any = true;
    }
  }
  if (!any) return "";
  canvas.x.Pad(0.03);
  canvas.y.Pad(0.06);

  std::string svg =
      fmt::format(R"(<svg class="plot" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)",
                  kWidth, plot.height, EscapeMarkup(plot.title));
  svg += RenderTicks(canvas) + RenderLabels(canvas);
  for (const PlotSeries& series : plot.series) svg += RenderLine(series, canvas);
  svg += RenderMarks(canvas);
  for (const PlotSeries& series : plot.series) svg += RenderMarkers(series, canvas);
  return svg + "</svg>";
}

}  // namespace w8a8
