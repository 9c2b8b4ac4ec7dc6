#include "eval/job/outputs.h"

#include <string>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/export/export_target.h"
#include "eval/job/calibration.h"
#include "eval/job/summary.h"
#include "eval/run/known_sites.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::optional<fs::path> WriteChosenPlan(const Session& session, const Plan& plan,
                                        const fs::path& folder, const fs::path& given) {
  const fs::path path = folder / "plan.json";
  const PlanFile file = ToPlanFile(session, plan);
  const std::vector<KnownSite> sites = KnownSites(session.graph);
  std::optional<fs::path> kept;
  std::error_code ignored;
  if (fs::exists(path) && !fs::equivalent(given, path, ignored) &&
      ReadFile(path) != PlanText(file, sites)) {
    kept = folder / "plan.old.json";
    CopyPlan(path, *kept);
  }
  WritePlan(path, file, sites);
  return kept;
}

void WriteQuantized(const Session& session, const Plan& plan, const fs::path& folder,
                    ExportScope scope, ProgressLines lines, Report& report) {
  const ExportTarget& target = DefaultExportTarget();
  const std::string why = target.why_tower_only(session.folder);
  if (scope == ExportScope::kWhole && !why.empty()) {
    scope = ExportScope::kTowerOnly;
    const std::string text =
        fmt::format("{}/ holds the vision tower alone. {}", kQuantizedFolder, why);
    report.health.push_back({.level = "note", .site = "", .text = text});
    if (lines == ProgressLines::kShown) Tell("note: {}\n", text);
  }
  for (const std::string& warning :
       target.write(*session.weights, session.graph, plan, session.folder,
                    folder / kQuantizedFolder, scope)) {
    report.health.push_back({.level = "note", .site = "", .text = warning});
  }
  report.facts.json()["weights"] = kQuantizedFolder;
}

}  // namespace w8a8
