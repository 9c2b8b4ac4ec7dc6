#include "reports/html_writer.h"

#include "reports/html_cards.h"
#include "reports/html_tables.h"
#include "reports/report_plots.h"
#include "reports/text.h"
#include "runtime/base/error.h"

// The files of this folder, put into the binary by CMake.
extern const char kReportTemplate[];    // report.mustache
extern const char kRunTemplate[];       // run.mustache
extern const char kSiteCardTemplate[];  // site_card.mustache
extern const char kPlotTemplate[];      // plot.mustache
extern const char kReportStyle[];       // report.css
extern const char kReportScript[];      // report.js

namespace w8a8 {
namespace {

using html::Data;
using kainjow::mustache::partial;

bool HasTask(const Report& report) {
  for (const ArmReport& arm : report.arms) {
    if (arm.top1 || arm.agreement) return true;
  }
  return false;
}

void AddSections(Data& page, const Report& report) {
  const auto add = [&](const std::string& name, const Data& rows) {
    page.set("has_" + name, rows.is_non_empty_list());
    page.set(name, rows);
  };
  add("arms", html::ArmRows(report));
  add("schemes", html::SchemeRows(report));
  page.set("has_part", PartArm(report, PlanPart::kWeights).has_value());
  add("guilty", html::GuiltyRows(report));
  add("sweep", html::SweepRows(report));
  add("outputs", html::OutputRows(report));
  add("sites", html::SiteRows(report));
  add("attention", html::AttentionRows(report));
  add("cards", html::CardRows(report));
  add("maps", html::MapRows(report));
  add("worst_images", html::WorstImageRows(report));
  add("reference", html::ReferenceRows(report));
  add("keep", html::KeepRows(report));
  add("experts", html::ExpertRows(report));
  add("routing", html::RoutingRows(report));
  add("checked_sites", html::CheckRows(report));
  add("passes", html::PassRows(report));
  add("plan", html::PlanRows(report));
  add("health", html::HealthRows(report));
  add("skipped", html::SkippedRows(report));
  add("facts", html::FactRows(report));
}

void AddParts(Data& page) {
  page.set("style", std::string(kReportStyle));
  page.set("script", std::string(kReportScript));
  page.set("run_section", Data(partial([] { return std::string(kRunTemplate); })));
  page.set("site_card", Data(partial([] { return std::string(kSiteCardTemplate); })));
  page.set("plot", Data(partial([] { return std::string(kPlotTemplate); })));
}

}  // namespace

std::string ReportHtml(const Report& report, const RunInfo& run) {
  Data page;
  AddParts(page);
  page.set("title", html::Shown(report.title));
  page.set("verdict", html::VerdictData(report));
  page.set("main_output", html::Shown(MainOutput(report)));
  page.set("has_task", HasTask(report));
  page.set("min_expert_tokens", FormatCount(report.min_expert_tokens));
  page.set("skipped_count", FormatCount(report.skipped_images.size()));
  page.set("checks", html::CountsRow(report));
  AddSections(page, report);
  page.set("depth_plot", html::PlotData(ErrorByDepthPlot(report)));
  page.set("sweep_plot", html::PlotData(SweepErrorPlot(report)));
  page.set("agreement_plot", html::PlotData(SweepAgreementPlot(report)));
  page.set("run", html::RunData(run));

  kainjow::mustache::mustache page_template{std::string(kReportTemplate)};
  W8A8_CHECK(page_template.is_valid());
  return page_template.render(page);
}

}  // namespace w8a8
