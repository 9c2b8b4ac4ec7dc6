#include <map>
#include <set>

#include "reports/html_rows.h"
#include "reports/html_tables.h"

namespace w8a8::html {
namespace {

constexpr size_t kGuiltySites = 5;

// A site's errors by "<fake|int8|weights>_<view>" of the chosen arms and of the weights alone.
using SiteViews = std::map<std::string, const SiteReport*>;

std::vector<SiteViews> ViewsBySite(const Report& report) {
  const std::map<std::string_view, std::optional<ArmRef>> arms = {
      {NameOf(Precision::kFake), ChosenArm(report, Precision::kFake)},
      {NameOf(Precision::kInt8), ChosenArm(report, Precision::kInt8)},
      {NameOf(PlanPart::kWeights), PartArm(report, PlanPart::kWeights)}};
  std::vector<SiteViews> views(report.site_names.size());
  for (const SiteReport& site : report.sites) {
    for (const auto& [name, arm] : arms) {
      if (site.arm != arm) continue;
      views[site.site.index][fmt::format("{}_{}", name, NameOf(site.view))] = &site;
    }
  }
  return views;
}

Data SiteRow(const Report& report, SiteRef ref, const SiteViews& views) {
  const auto forced = views.find("int8_teacher_forced");
  const SiteReport site = forced == views.end() ? SiteReport{} : *forced->second;
  Data row = RowOf(report, site);
  row.set("site", Shown(report[ref]));
  row.set("place", fmt::format("{}", ref.index));
  for (const char* view : {"fake_teacher_forced", "int8_teacher_forced", "weights_teacher_forced",
                           "fake_propagated", "int8_propagated", "weights_propagated"}) {
    const auto at = views.find(view);
    row.set(view, at == views.end() ? Cell(kUndefined, FormatDb) : SqnrCell(*at->second));
  }
  row.set("saturation", Cell(100 * site.saturation, FormatShort));
  row.set("culprit", std::string(CulpritOf(site)));
  return row;
}

}  // namespace

Data GuiltyRows(const Report& report) {
  List rows;
  const std::optional<ArmRef> arm = ChosenArm(report, Precision::kInt8);
  if (!arm) return Data(rows);
  const std::vector<SiteViews> views = ViewsBySite(report);
  for (const size_t worst : WorstSites(report, *arm, View::kTeacherForced, kGuiltySites)) {
    const SiteRef site = report.sites[worst].site;
    rows.push_back(SiteRow(report, site, views[site.index]));
  }
  return Data(rows);
}

Data SiteRows(const Report& report) {
  const std::vector<SiteViews> views = ViewsBySite(report);
  std::set<SiteRef> sites;
  for (const SiteReport& row : report.sites) sites.insert(row.site);
  List rows;
  for (const SiteRef site : sites) rows.push_back(SiteRow(report, site, views[site.index]));
  return Data(rows);
}

}  // namespace w8a8::html
