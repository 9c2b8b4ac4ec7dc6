#include "reports/hdf5_writer.h"

#include <cmath>
#include <set>

#include "reports/card_file.h"
#include "reports/json_writer.h"
#include "reports/text.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

// Writes the columns of one table from a list of rows.
template <class Row>
class Table {
 public:
  Table(Hdf5OutputFile& file, std::string group, const std::vector<Row>& rows)
      : file_(file), group_(std::move(group)), rows_(rows) {
    file_.Group(group_);
  }

  template <class T, class Get>
  void Column(const std::string& name, Get get) {
    std::vector<T> values;
    for (const Row& row : rows_) values.push_back(static_cast<T>(get(row)));
    file_.Write(group_ + "/" + name, values);
  }

  template <class Get>
  void Text(const std::string& name, Get get) {
    std::vector<std::string> values;
    for (const Row& row : rows_) values.push_back(ValidUtf8(get(row)));
    file_.WriteStrings(group_ + "/" + name, values);
  }

  template <class Get>
  void Interval(const std::string& name, Get get) {
    std::vector<double> values;
    for (const Row& row : rows_) {
      const Estimate estimate = get(row);
      for (const double v : {estimate.value, estimate.low, estimate.high}) {
        values.push_back(std::isfinite(v) ? v : kUndefined);
      }
    }
    file_.Write(group_ + "/" + name, values, {static_cast<int64_t>(rows_.size()), 3});
  }

 private:
  Hdf5OutputFile& file_;
  std::string group_;
  const std::vector<Row>& rows_;
};

double FiniteOrNan(double value) { return std::isfinite(value) ? value : kUndefined; }

std::string Or(const std::optional<std::string>& text) { return text.value_or(""); }

Estimate Or(const std::optional<Estimate>& estimate) { return estimate.value_or(Estimate{}); }

// No clip is infinity; the reference and a plan have no one clip range.
double ClipRangeOf(const ArmReport& arm) {
  if (arm.clip_range) return *arm.clip_range;
  return arm.granularity && arm.granularity != "plan" ? HUGE_VAL : kUndefined;
}

void WriteOutputs(Hdf5OutputFile& file, const Report& report) {
  std::set<std::string> outputs;
  for (const ArmReport& arm : report.arms) {
    for (const auto& [output, errors] : arm.outputs) outputs.insert(output);
  }
  for (const std::string& output : outputs) {
    Table table(file, "/arms/outputs/" + output, report.arms);
    const auto errors = [&](const ArmReport& arm) {
      const auto at = arm.outputs.find(output);
      return at == arm.outputs.end() ? OutputErrors{} : at->second;
    };
    table.Interval("sqnr_db", [&](const ArmReport& arm) { return errors(arm).sqnr_db; });
    table.Interval("relative_l2", [&](const ArmReport& arm) { return errors(arm).relative_l2; });
    table.Interval("cosine_mean", [&](const ArmReport& arm) { return errors(arm).cosine_mean; });
    table.Interval("cosine_p1", [&](const ArmReport& arm) { return errors(arm).cosine_p1; });
    table.Interval("max_abs", [&](const ArmReport& arm) { return errors(arm).max_abs; });
    table.template Column<uint8_t>("exact",
                                   [&](const ArmReport& arm) { return errors(arm).exact; });
    table.template Column<uint64_t>("nonfinite",
                                    [&](const ArmReport& arm) { return errors(arm).nonfinite; });
  }
}

void WriteArms(Hdf5OutputFile& file, const Report& report) {
  using Arm = const ArmReport&;
  Table table(file, "/arms", report.arms);
  table.Text("name", [](Arm arm) { return arm.name; });
  table.Text("precision", [](Arm arm) { return arm.precision; });
  table.Text("flavour", [](Arm arm) { return Or(arm.flavour); });
  table.Text("granularity", [](Arm arm) { return Or(arm.granularity); });
  table.Column<double>("clip_range", ClipRangeOf);
  table.Column<uint8_t>("chosen", [](Arm arm) { return arm.chosen; });
  table.Text("label", [](Arm arm) { return arm.label; });
  table.Interval("top1", [](Arm arm) { return Or(arm.top1); });
  table.Interval("top5", [](Arm arm) { return Or(arm.top5); });
  table.Interval("agreement", [](Arm arm) { return Or(arm.agreement); });
  table.Column<uint64_t>("weight_bytes", [](Arm arm) { return arm.weight_bytes.value_or(0); });
  WriteOutputs(file, report);
}

void WriteSites(Hdf5OutputFile& file, const Report& report) {
  using Site = const SiteReport&;
  Table table(file, "/sites", report.sites);
  table.Text("site", [](Site site) { return site.site; });
  table.Text("arm", [](Site site) { return site.arm; });
  table.Text("view", [](Site site) { return site.view; });
  table.Column<int64_t>("block", [](Site site) { return site.block.value_or(-1); });
  table.Column<double>("sqnr_db", [](Site site) { return FiniteOrNan(site.sqnr_db); });
  table.Column<uint8_t>("exact", [](Site site) { return site.exact; });
  table.Column<double>("relative_l2", [](Site site) { return FiniteOrNan(site.relative_l2); });
  table.Column<double>("cosine", [](Site site) { return FiniteOrNan(site.cosine); });
  table.Column<double>("max_abs", [](Site site) { return FiniteOrNan(site.max_abs); });
  table.Column<double>("mean_error", [](Site site) { return FiniteOrNan(site.mean_error); });
  table.Column<double>("saturation", [](Site site) { return FiniteOrNan(site.saturation); });
  table.Column<double>("input_sqnr_db", [](Site site) { return FiniteOrNan(site.input_sqnr_db); });
  table.Column<uint64_t>("nonfinite", [](Site site) { return site.nonfinite; });
}

void WriteSweep(Hdf5OutputFile& file, const Report& report) {
  const std::string output = MainOutput(report);
  std::vector<ArmReport> points;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const size_t arm : curve.arms) points.push_back(report.arms[arm]);
  }
  using Arm = const ArmReport&;
  const auto errors = [&](Arm arm) {
    const auto at = arm.outputs.find(output);
    return at == arm.outputs.end() ? OutputErrors{} : at->second;
  };
  Table table(file, "/sweep", points);
  table.Text("arm", [](Arm arm) { return arm.name; });
  table.Text("precision", [](Arm arm) { return arm.precision; });
  table.Text("granularity", [](Arm arm) { return Or(arm.granularity); });
  table.Column<double>("clip_range", ClipRangeOf);
  table.Text("output", [&](Arm) { return output; });
  table.Interval("sqnr_db", [&](Arm arm) { return errors(arm).sqnr_db; });
  table.Interval("cosine_mean", [&](Arm arm) { return errors(arm).cosine_mean; });
  table.Interval("top1", [](Arm arm) { return Or(arm.top1); });
  table.Interval("agreement", [](Arm arm) { return Or(arm.agreement); });
}

template <class Row, class Get>
void CountColumns(Table<Row>& table, Get counts) {
  using R = const Row&;
  table.template Column<uint64_t>("int32_compared",
                                  [&](R row) { return counts(row).int32_compared; });
  table.template Column<uint64_t>("int32_mismatches",
                                  [&](R row) { return counts(row).int32_mismatches; });
  table.template Column<uint64_t>("codes_compared",
                                  [&](R row) { return counts(row).codes_compared; });
  table.template Column<uint64_t>("code_mismatches",
                                  [&](R row) { return counts(row).code_mismatches; });
  for (const auto& [at, name] : {std::pair<size_t, const char*>{0, "0"}, {1, "1"}, {2, "2+"}}) {
    table.template Column<uint64_t>(std::string("code_differences/") + name,
                                    [&](R row) { return counts(row).code_differences[at]; });
  }
  table.template Column<uint64_t>("outputs_compared",
                                  [&](R row) { return counts(row).outputs_compared; });
  table.template Column<uint64_t>("output_mismatches",
                                  [&](R row) { return counts(row).output_mismatches; });
  table.template Column<uint64_t>("nonfinite", [&](R row) { return counts(row).nonfinite; });
}

void WriteChecks(Hdf5OutputFile& file, const ChecksReport& checks) {
  const std::vector<CheckCounts> total = {checks.total};
  Table totals(file, "/checks/total", total);
  CountColumns(totals, [](const CheckCounts& counts) { return counts; });

  using Site = std::pair<std::string, CheckCounts>;
  Table sites(file, "/checks/sites", checks.sites);
  sites.Text("site", [](const Site& site) { return site.first; });
  CountColumns(sites, [](const Site& site) { return site.second; });

  Table passes(file, "/checks/passes", checks.passes);
  passes.Text("name", [](const CheckPass& pass) { return pass.name; });
  passes.Column<uint64_t>("images", [](const CheckPass& pass) { return pass.images; });
  CountColumns(passes, [](const CheckPass& pass) { return pass.counts; });
}

void WritePlanChoices(Hdf5OutputFile& file, const std::vector<PlanChoice>& choices) {
  using Choice = const PlanChoice&;
  Table table(file, "/plan_choices", choices);
  table.Text("site", [](Choice choice) { return choice.site; });
  table.Text("granularity", [](Choice choice) { return choice.granularity; });
  table.Text("rule", [](Choice choice) { return choice.rule; });
  table.Column<double>("clip_range",
                       [](Choice choice) { return choice.clip_range.value_or(HUGE_VAL); });
  table.Column<double>("scale", [](Choice choice) { return choice.scale.value_or(kUndefined); });

  using Candidate = std::pair<std::string, PlanCandidate>;
  std::vector<Candidate> candidates;
  for (const PlanChoice& choice : choices) {
    for (const PlanCandidate& c : choice.candidates) candidates.emplace_back(choice.site, c);
  }
  Table rows(file, "/plan_choices/candidates", candidates);
  rows.Text("site", [](const Candidate& row) { return row.first; });
  rows.Text("rule", [](const Candidate& row) { return row.second.rule; });
  rows.Column<double>("clip_range", [](const Candidate& row) { return row.second.clip_range; });
  rows.Column<double>("sqnr_db",
                      [](const Candidate& row) { return FiniteOrNan(row.second.sqnr_db); });
}

void WriteNotes(Hdf5OutputFile& file, const Report& report) {
  Table skipped(file, "/skipped_images", report.skipped_images);
  skipped.Text("file", [](const SkippedFile& row) { return row.file; });
  skipped.Text("reason", [](const SkippedFile& row) { return row.reason; });
  Table health(file, "/health", report.health);
  health.Text("level", [](const HealthNote& note) { return note.level; });
  health.Text("site", [](const HealthNote& note) { return note.site; });
  health.Text("text", [](const HealthNote& note) { return note.text; });
}

void WriteFacts(Hdf5OutputFile& file, const std::string& group, const Json& facts) {
  file.Group(group);
  for (const auto& [key, value] : facts.items()) {
    const std::string name = Hdf5ObjectName(key);
    if (value.is_object()) {
      WriteFacts(file, group + "/" + name, value);
    } else if (value.is_string()) {
      file.Attribute(group, name, ValidUtf8(value.get_ref<const std::string&>()));
    } else if (value.is_number_integer() && value >= 0) {  // one type, whatever C++ type it had
      file.Attribute(group, name, value.get<uint64_t>());
    } else if (value.is_number_integer()) {
      file.Attribute(group, name, value.get<int64_t>());
    } else if (value.is_number_float()) {
      file.Attribute(group, name, value.get<double>());
    } else {  // true, false, null and lists as JSON
      file.Attribute(group, name,
                     ValidUtf8(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
  }
}

void WriteRun(Hdf5OutputFile& file, const RunInfo& run) {
  file.Group("/run");
  file.Attribute("/run", "command", ValidUtf8(run.command));
  file.Attribute("/run", "host", ValidUtf8(run.host));
  file.Attribute("/run", "device", ValidUtf8(run.device));
  file.Attribute("/run", "kernels", ValidUtf8(run.kernels));
  file.Attribute("/run", "threads", int64_t{run.threads});
  file.Attribute("/run", "started", ValidUtf8(run.started));
  file.Attribute("/run", "peak_memory_bytes", run.peak_memory_bytes);
  using Stage = const StageTime&;
  Table stages(file, "/run/stages", run.stages);
  stages.Text("name", [](Stage stage) { return stage.name; });
  stages.Column<double>("seconds", [](Stage stage) { return stage.seconds; });
  stages.Column<double>("reference_forwards", [](Stage stage) { return stage.reference_forwards; });
  for (const auto& [precision, figures] : run.latency) {
    const std::string group = "/run/latency/" + Hdf5ObjectName(precision);
    file.Group(group);
    file.Attribute(group, "ms_per_image", figures.ms_per_image);
    for (const auto& [name, value] : figures.more) file.Attribute(group, name, value);
  }
}

}  // namespace

void WriteReportHdf5(const std::filesystem::path& path, const Report& report, const RunInfo& run) {
  Hdf5OutputFile file(path);
  file.Attribute("/", "schema", kReportSchema);
  file.Attribute("/", "title", ValidUtf8(report.title));
  file.Group("/verdict");
  file.Attribute("/verdict", "ship", ValidUtf8(report.verdict.ship));
  file.Attribute("/verdict", "arm", ValidUtf8(report.verdict.arm));
  file.Attribute("/verdict", "text", ValidUtf8(report.verdict.text));
  WriteFacts(file, "/facts", report.facts.is_object() ? report.facts : Json::object());
  WriteArms(file, report);
  WriteSites(file, report);
  WriteSweep(file, report);
  WriteChecks(file, report.checks);
  WritePlanChoices(file, report.plan_choices);
  WriteNotes(file, report);
  WriteCards(file, report);
  WriteRun(file, run);
  file.Commit();
}

}  // namespace w8a8
