#include "reports/html_tables.h"

namespace w8a8::html {

Data PlotData(const Plot& plot) {
  const std::string svg = RenderSvg(plot);
  if (svg.empty()) return Data(false);
  kainjow::mustache::list legend;
  for (const PlotSeries& series : plot.series) {
    Data entry;
    entry.set("label", Shown(series.label));
    entry.set("colour", std::to_string(series.colour));
    entry.set("dashed", series.dashed);
    legend.push_back(entry);
  }
  Data data;
  data.set("svg", svg);
  data.set("has_legend", legend.size() > 1);
  data.set("legend", Data(legend));
  return data;
}

}  // namespace w8a8::html
