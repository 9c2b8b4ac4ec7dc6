// A line plot as one inline SVG element. Colours come from the page's style sheet (classes line-0,
// line-1, ...), so that light, dark and paper can differ; every point tells its value on hover.
// Plain SVG and not a chart library: 108 cards of five plots would be 540 canvases that are blank
// without their script and blurred on paper; a path of 200 points is 3 KB, prints as lines and is
// read by the same style sheet as the text around it.
#pragma once

#include <string>
#include <vector>

namespace w8a8 {

struct PlotPoint {
  double x = 0;
  double y = 0;       // not finite, or not positive on a log axis: the line has a gap here
  std::string title;  // shown on hover
  bool marked = false;
};

struct PlotSeries {
  std::string label;
  int colour = 0;  // class line-<colour>
  bool dashed = false;
  bool markers = true;  // without: a bare line
  bool dense = false;   // no markers; the page's script reads the values off the path (report.js)
  bool area = false;    // filled down to the axis
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

// A line from top to bottom where x has a meaning of its own.
struct PlotMark {
  double at = 0;
  std::string label;
  int colour = 2;
};

struct Plot {
  std::string title;  // for those who cannot see it
  PlotAxis x, y;
  std::vector<PlotSeries> series;
  std::vector<PlotMark> marks;
  double height = 320;  // of the view box, which is 560 wide
};

// Empty if no point has finite coordinates.
std::string RenderSvg(const Plot& plot);

// At most about `count` multiples of 1, 2 or 5 times a power of ten within [low, high].
std::vector<PlotTick> RoundTicks(double low, double high, int count);
// 1, 2 and 5 of each decade, or decades alone where there are many. 0 < low < high.
std::vector<PlotTick> LogTicks(double low, double high, int count);

}  // namespace w8a8
