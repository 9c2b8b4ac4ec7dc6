#include "reports/html_writer.h"

#include <string>

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "reports/report_plots.h"
#include "reports/svg_plot.h"
#include "reports/text.h"
#include "tests/reports/sample_report.h"

namespace w8a8 {
namespace {

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The page without the section between the two marks.
std::string WithoutRun(const std::string& page) {
  const size_t begin = page.find(kRunSectionBegin);
  const size_t end = page.find(kRunSectionEnd);
  EXPECT_LT(begin, end);
  return page.substr(0, begin) + page.substr(end);
}

TEST(ReportHtml, EscapesEveryNameFromOutside) {
  Report report = test::SampleReport(2);
  const std::string hostile = test::kHostileName;
  report.title = hostile;
  report.verdict.text = hostile;
  report.verdict.notes = {hostile, hostile};
  report.facts.json()[hostile] = hostile;
  report.facts.json()["list"] = {hostile};
  report.health.push_back({hostile, hostile, hostile});
  report.plan_choices[0].rule = hostile;
  const SiteRef hostile_site = report.site_names.Add(hostile);
  report.checks.sites[0].site = hostile_site;
  report.checks.passes[0].name = hostile;
  for (SiteReport& site : report.sites) site.site = hostile_site;
  for (SiteCard& card : report.cards) card.site = hostile_site;
  for (SiteCard& card : report.cards) card.map.image = hostile;
  report.worst_images[1].answer = report.worst_images[1].accepted = hostile;
  for (ArmReport& arm : report.arms) arm.label = hostile;
  report.arms[5].name = hostile;
  report.arms[5].outputs[hostile] = {};
  RunInfo run = test::SampleRun();
  run.command = run.host = run.device = run.kernels = run.started = hostile;
  run.float_products = run.reference_attention = run.attention = hostile;
  run.stages[0].name = hostile;
  run.latency[hostile] = {};
  const std::string page = ReportHtml(report, run);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(Occurrences(page, "<script"), 1u);  // the page's own
  EXPECT_GT(Occurrences(page, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), 30u);
}

TEST(ReportHtml, SaysWhatTheVerdictStandsOnBesideIt) {
  Report report = test::SampleReport(2);
  report.verdict.notes = {"top-1 is over 1 of 6 images.", "2 images served calibration too."};
  const std::string page = ReportHtml(report, test::SampleRun());
  const std::string shown =
      "<br><small>top-1 is over 1 of 6 images.</small><br><small>2 images served calibration "
      "too.</small></p>";
  EXPECT_EQ(Occurrences(page, shown), 1u);
}

TEST(ReportHtml, OnlyTheMarkedSectionDependsOnTheRun) {
  const Report report = test::SampleReport(3);
  RunInfo other = test::SampleRun();
  other.command = "another";
  other.stages.clear();
  other.latency.clear();
  const std::string first = ReportHtml(report, test::SampleRun());
  const std::string second = ReportHtml(report, other);
  EXPECT_NE(first, second);
  EXPECT_EQ(WithoutRun(first), WithoutRun(second));
  EXPECT_EQ(Occurrences(first, kRunSectionBegin), 1u);
}

TEST(ReportHtml, PutsTheVerdictFirstAndShowsWhatMatters) {
  const std::string page = ReportHtml(test::SampleReport(12), test::SampleRun());
  const auto at = [&](const char* part) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
    return page.find(part);
  };
  EXPECT_LT(at("Ship it: undecided"), at("id=\"arms\""));
  EXPECT_LT(at("id=\"arms\""), at("id=\"guilty\""));
  EXPECT_LT(at("id=\"guilty\""), at("id=\"depth\""));
  EXPECT_LT(at("id=\"depth\""), at("id=\"sweep\""));
  EXPECT_LT(at("id=\"sweep\""), at("id=\"sites\""));
  EXPECT_LT(at("id=\"sites\""), at("id=\"card-0\""));
  EXPECT_LT(at("id=\"card-47\""), at("id=\"maps\""));
  EXPECT_LT(at("id=\"maps\""), at("id=\"images\""));
  EXPECT_LT(at("id=\"images\""), at("id=\"health\""));
  EXPECT_LT(at("id=\"health\""), at("id=\"facts\""));
  EXPECT_LT(at("id=\"facts\""), at("id=\"keep\""));
  EXPECT_LT(at("id=\"keep\""), at("id=\"reproduce\""));
  EXPECT_LT(at("id=\"reproduce\""), at("id=\"run\""));
  EXPECT_EQ(Occurrences(page, "<tr id=\"site-"), 48u);
  at("27.60<small>[27.10, 28.20]</small>");
  at("CLIP_RANGE = 5");
  at("no mismatch");
  at("5.5 MiB");
  at("caf\\xe9.jpg");
  at("images.calibration");
}

TEST(ReportHtml, ShowsTheWeightsAloneBesideEverySiteAndWhoIsGuilty) {
  Report report = test::SampleReport(2);
  for (SiteReport& site : report.sites) {
    if (site.arm == ArmRef{2}) site.weight_share = 0.25;
    if (site.arm == PartArm(report, PlanPart::kWeights)) site.sqnr_db = 77.25;
  }
  const std::string page = ReportHtml(report, test::SampleRun());
  EXPECT_EQ(Occurrences(page, "data-v=\"77.25\""), 2u * 2 * 4);  // both views of every site
  EXPECT_EQ(Occurrences(page, "<td class=\"text\">activations</td>"), 5u);  // the guiltiest
  EXPECT_NE(page.find("<td data-v=\"0.25\">25.0</td>"), std::string::npos);
  for (SiteReport& site : report.sites) {
    if (site.arm == ArmRef{2}) site.weight_share = 0.75;
  }
  EXPECT_EQ(Occurrences(ReportHtml(report, {}), "<td class=\"text\">weights</td>"), 5u);
}

TEST(ReportHtml, ListsSchemesWithTheNamesOfOthersAndTheirTime) {
  const std::string page = ReportHtml(test::SampleReport(1), test::SampleRun());
  const std::string schemes = page.substr(page.find("id=\"scheme-table\""));
  EXPECT_LT(schemes.find("CompressedTensorsW8A8Int8 (dynamic)"), schemes.find("</table>"));
  EXPECT_LT(schemes.find("CompressedTensorsW4A8Int (Arm CPUs only)"), schemes.find("</table>"));
  EXPECT_EQ(Occurrences(page, "data-latency=\"int8/w4a8-g128\""), 1u);
  EXPECT_EQ(Occurrences(page, "data-latency=\"int8/weight-only\""), 1u);
  EXPECT_EQ(Occurrences(page, "data-latency=\"int8\""), 1u);
  EXPECT_EQ(Occurrences(ReportHtml({}, {}), "id=\"scheme-table\""), 0u);
}

TEST(ReportHtml, NamesTheLayersThatAreNotWorthQuantizingHere) {
  const std::string page = ReportHtml(test::SampleReport(2), test::SampleRun());
  EXPECT_EQ(Occurrences(page, "INT8 saves less than a tenth): 1 of 2."), 1u);
  EXPECT_EQ(Occurrences(page, "not worth it"), 1u);
  EXPECT_EQ(Occurrences(page, "data-column=\"2\""), Occurrences(page, "<tr id=\"site-"));
  EXPECT_EQ(Occurrences(ReportHtml({}, {}), "id=\"site-latency\""), 0u);
}

TEST(ReportHtml, FetchesNothing) {
  const std::string page = ReportHtml(test::SampleReport(2), test::SampleRun());
  for (const char* part : {"http:", "https:", "@import", "url(", "<link", "fetch("}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
  EXPECT_GT(Occurrences(page, "src="), 8u);  // the pictures are in the page
  EXPECT_EQ(Occurrences(page, "src="), Occurrences(page, "src=\"data:image/png;base64,"));
}

TEST(ReportHtml, SaysWhenNothingWasProven) {
  Report report = test::SampleReport(1);
  report.checks.total.int32_mismatches = 1;
  EXPECT_NE(ReportHtml(report, {}).find("NOT PROVEN"), std::string::npos);
  report.checks.total = {};
  EXPECT_NE(ReportHtml(report, {}).find("NOT PROVEN"), std::string::npos);
}

TEST(ReportHtml, AWeightOnlyPlanIsProvenByWhatItsFloatProductsMayDiffer) {
  Report report = test::SampleReport(1);
  report.checks.total = {};
  report.checks.total.float_outputs_compared = 1234567;
  const std::string page = ReportHtml(report, {});
  EXPECT_EQ(page.find("NOT PROVEN"), std::string::npos);
  EXPECT_NE(page.find("of 1,234,567 outputs of float products"), std::string::npos);
  report.checks.total.float_output_mismatches = 1;
  EXPECT_NE(ReportHtml(report, {}).find("NOT PROVEN"), std::string::npos);
}

TEST(ReportHtml, AnEmptyReportIsAPage) {
  const std::string page = ReportHtml({}, {});
  EXPECT_NE(page.find("</html>"), std::string::npos);
  EXPECT_EQ(page.find("id=\"sites\""), std::string::npos);
}

TEST(SvgPlot, DrawsEveryPointWithItsTitleAndBreaksTheLineAtGaps) {
  Plot plot;
  PlotSeries series{.label = "a", .points = {}};
  series.points = {{.x = 0, .y = 1, .title = "first <"},
                   {.x = 1, .y = kUndefined, .title = "gap"},
                   {.x = 2, .y = 3, .title = "last"}};
  plot.series = {series};
  const std::string svg = RenderSvg(plot);
  EXPECT_EQ(Occurrences(svg, "<title>"), 2u);
  EXPECT_NE(svg.find("first &lt;"), std::string::npos);
  EXPECT_EQ(svg.find("gap"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  const std::string path = svg.substr(svg.find(" d=\"", svg.find("class=\"line")) + 4);
  EXPECT_EQ(Occurrences(path.substr(0, path.find('"')), "M"), 2u);
  EXPECT_EQ(RenderSvg(Plot{}), "");
}

TEST(SvgPlot, OnePointHasAnAxisToo) {
  Plot plot;
  PlotSeries series{.label = "a", .points = {}};
  series.points = {{.x = 5, .y = 7, .title = "only"}};
  plot.series = {series};
  EXPECT_EQ(RenderSvg(plot).find("nan"), std::string::npos);
}

TEST(RoundTicks, AreRoundAndInside) {
  const auto labels = [](double low, double high) {
    std::string text;
    for (const PlotTick& tick : RoundTicks(low, high, 5)) text += tick.label + " ";
    return text;
  };
  EXPECT_EQ(labels(0, 10), "0 2 4 6 8 10 ");
  EXPECT_EQ(labels(-0.13, 0.11), "-0.1 -0.05 0 0.05 0.1 ");
  EXPECT_EQ(labels(9.5, 41), "10 20 30 40 ");
  EXPECT_EQ(labels(3, 3), "3 ");
}

TEST(SweepPlot, PutsNoClipLastAndMarksTheChosenPoint) {
  const Plot plot = SweepErrorPlot(test::SampleReport(1));
  EXPECT_EQ(plot.x.ticks.back().label, "no clip");
  ASSERT_EQ(plot.series.size(), 5u);  // the chosen arm's line and four curves
  for (const PlotSeries& series : plot.series) {
    int marked = 0;
    for (const PlotPoint& point : series.points) marked += point.marked;
    EXPECT_EQ(marked, series.label == "int8, per-token" ? 1 : 0) << series.label;
  }
}

TEST(Text, FormatsNumbersForReaders) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatBytes(512), "512 bytes");
  EXPECT_EQ(FormatBytes(5767168), "5.5 MiB");
  EXPECT_EQ(FormatDb(kUndefined), "–");
  EXPECT_EQ(FormatEstimate({27.6, 26.9, 28.2}, FormatDb), "27.60 [26.90, 28.20]");
  EXPECT_EQ(FormatEstimate({0.5, kUndefined, kUndefined}, FormatShare), "50.0");
}

}  // namespace
}  // namespace w8a8
