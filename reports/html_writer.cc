#include "reports/html_writer.h"

#include "reports/html_tables.h"
#include "reports/report_plots.h"
#include "reports/svg_plot.h"
#include "reports/text.h"
#include "runtime/base/error.h"

extern const char kReportTemplate[];  // report.mustache, put into the binary by CMake

namespace w8a8 {
namespace {

using html::Data;
using List = kainjow::mustache::list;

// A plot and its legend; absent (false) where there is nothing to draw.
Data PlotData(const Plot& plot) {
  const std::string svg = RenderSvg(plot);
  if (svg.empty()) return Data(false);
  List legend;
  for (const PlotSeries& series : plot.series) {
    Data entry;
    entry.set("label", html::Shown(series.label));
    entry.set("colour", fmt::format("{}", series.colour));
    entry.set("dashed", series.dashed);
    legend.push_back(entry);
  }
  Data data;
  data.set("svg", svg);
  data.set("legend", Data(legend));
  return data;
}

Data VerdictData(const Verdict& verdict) {
  Data data;
  data.set("ship", html::Shown(verdict.ship));
  data.set("arm", html::Shown(verdict.arm));
  data.set("text", html::Shown(verdict.text));
  return data;
}

Data RunData(const RunInfo& run) {
  Data data;
  data.set("command", html::Shown(run.command));
  data.set("host", html::Shown(run.host));
  data.set("device", html::Shown(run.device));
  data.set("kernels", html::Shown(run.kernels));
  data.set("threads", fmt::format("{}", run.threads));
  data.set("started", html::Shown(run.started));
  data.set("peak_memory", FormatBytes(run.peak_memory_bytes));
  data.set("stages", html::StageRows(run));
  data.set("has_latency", !run.latency.empty());
  data.set("latency", html::LatencyRows(run));
  return data;
}

bool HasTask(const Report& report) {
  for (const ArmReport& arm : report.arms) {
    if (arm.top1 || arm.agreement) return true;
  }
  return false;
}

void AddSections(Data& page, const Report& report) {
  const auto add = [&](const std::string& name, Data rows) {
    page.set("has_" + name, rows.is_non_empty_list());
    page.set(name, std::move(rows));
  };
  add("arms", html::ArmRows(report));
  add("guilty", html::GuiltyRows(report));
  add("sweep", html::SweepRows(report));
  add("outputs", html::OutputRows(report));
  add("sites", html::SiteRows(report));
  add("checked_sites", html::CheckRows(report));
  add("passes", html::PassRows(report));
  add("plan", html::PlanRows(report));
  add("health", html::HealthRows(report));
  add("skipped", html::SkippedRows(report));
  add("facts", html::FactRows(report));
}

}  // namespace

std::string ReportHtml(const Report& report, const RunInfo& run) {
  Data page;
  page.set("title", html::Shown(report.title));
  page.set("verdict", VerdictData(report.verdict));
  page.set("main_output", html::Shown(MainOutput(report)));
  page.set("has_task", HasTask(report));
  page.set("skipped_count", FormatCount(report.skipped_images.size()));
  page.set("checks", html::CountsRow(report.checks.total));
  AddSections(page, report);
  page.set("depth_plot", PlotData(ErrorByDepthPlot(report)));
  page.set("sweep_plot", PlotData(SweepErrorPlot(report)));
  page.set("agreement_plot", PlotData(SweepAgreementPlot(report)));
  page.set("run", RunData(run));

  kainjow::mustache::mustache page_template{std::string(kReportTemplate)};
  W8A8_CHECK(page_template.is_valid());
  return page_template.render(page);
}

}  // namespace w8a8
