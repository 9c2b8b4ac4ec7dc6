// A line plot as one inline SVG element. Colours come from the page's style sheet (classes line-0,
// line-1, ...), so that light, dark and paper can differ; every point tells its value on hover.
#pragma once

#include <string>
#include <vector>

namespace w8a8 {

struct PlotPoint {
  double x = 0;
  double y = 0;       // not finite: the line has a gap here
  std::string title;  // shown on hover
  bool marked = false;
};

struct PlotSeries {
  std::string label;
  int colour = 0;  // class line-<colour>
  bool dashed = false;
  bool markers = true;  // without: a bare line
  std::vector<PlotPoint> points;
};

struct PlotTick {
  double at = 0;
  std::string label;
};

struct PlotAxis {
  std::string label;
  bool logarithmic = false;     // positive values only
  std::vector<PlotTick> ticks;  // empty: round numbers are chosen
};

struct Plot {
  std::string title;  // for those who cannot see it
  PlotAxis x, y;
  std::vector<PlotSeries> series;
};

// Empty if no point has finite coordinates.
std::string RenderSvg(const Plot& plot);

// At most about `count` multiples of 1, 2 or 5 times a power of ten within [low, high].
std::vector<PlotTick> RoundTicks(double low, double high, int count);

}  // namespace w8a8
