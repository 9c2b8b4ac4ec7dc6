#include "reports/html_tables.h"

#include <cmath>
#include <concepts>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "reports/describe.h"
#include "reports/png_image.h"

namespace w8a8::html {
namespace {

using Format = std::string (*)(double);
using List = kainjow::mustache::list;

constexpr size_t kGuiltySites = 5;

Data Cell(const std::string& text, double sort_by) {
  Data cell;
  cell.set("t", text);
  cell.set("v", std::isfinite(sort_by) ? fmt::format("{:.9g}", sort_by)
                                       : std::string(sort_by > 0 ? "1e999" : ""));
  return cell;
}

Data Cell(double value, Format format) { return Cell(format(value), value); }

// `value` and `interval` are the two halves of `t`.
Data Cell(const Estimate& estimate, Format format) {
  Data cell = Cell(FormatEstimate(estimate, format), estimate.value);
  cell.set("value", format(estimate.value));
  const bool bounded = std::isfinite(estimate.low) || std::isfinite(estimate.high);
  cell.set("interval",
           bounded ? fmt::format("[{}, {}]", format(estimate.low), format(estimate.high)) : "");
  return cell;
}

// A word in the place of an estimate that sorts above every number.
Data Word(const std::string& word) {
  Data cell = Cell(word, HUGE_VAL);
  cell.set("value", word);
  cell.set("interval", "");
  return cell;
}

// Sets the members of a row of the page's data from those of a record: words as they are, numbers
// as cells in the form of their description.
template <class Record>
class RowMembers {
 public:
  RowMembers(const Report& report, const Record& record, Data& row)
      : report_(report), record_(record), row_(row) {}

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& traits = {}) {
    Set(name, record_.*member, traits.shown);
  }
  template <class T>
  void Inline(const char* /*name*/, T Record::*member) {
    Describe<T>(RowMembers<T>(report_, record_.*member, row_));
  }

 private:
  void Set(const char* name, const std::string& text, Format) { row_.set(name, Shown(text)); }
  void Set(const char* name, NamedEnum auto value, Format) {
    row_.set(name, std::string(NameOf(value)));
  }
  void Set(const char* name, ArmRef arm, Format) { row_.set(name, Shown(report_[arm].name)); }
  void Set(const char* name, SiteRef site, Format) { row_.set(name, Shown(report_[site])); }
  void Set(const char* name, bool value, Format) { row_.set(name, value); }
  void Set(const char* name, std::signed_integral auto value, Format) {
    row_.set(name, fmt::format("{}", value));
  }
  void Set(const char* name, uint64_t value, Format) {
    row_.set(name, Cell(FormatCount(value), static_cast<double>(value)));
  }
  void Set(const char* name, double value, Format shown) { row_.set(name, Cell(value, shown)); }
  void Set(const char* name, const Estimate& value, Format shown) {
    row_.set(name, Cell(value, shown));
  }
  template <class T>
  void Set(const char* name, const std::optional<T>& value, Format shown) {
    if constexpr (std::is_same_v<T, double>) return Set(name, value.value_or(kUndefined), shown);
    if constexpr (std::is_same_v<T, Estimate>) return Set(name, value.value_or(T{}), shown);
    if (value) Set(name, *value, shown);
  }
  template <class T>
  requires(Described<T> || kIsList<T> || kIsMap<T>) void Set(const char* /*name*/,
                                                             const T& /*no cell*/, Format) {}

  const Report& report_;
  const Record& record_;
  Data& row_;
};

template <class Record>
Data RowOf(const Report& report, const Record& record) {
  Data row;
  Describe<Record>(RowMembers<Record>(report, record, row));
  return row;
}

// The rows of all records; `complete(record, row)` adds what is not a member.
template <class Record, class Complete>
Data RowsOf(const Report& report, const std::vector<Record>& records, Complete complete) {
  List rows;
  for (const Record& record : records) {
    Data row = RowOf(report, record);
    complete(record, row);
    rows.push_back(row);
  }
  return Data(rows);
}

template <class Record>
Data RowsOf(const Report& report, const std::vector<Record>& records) {
  return RowsOf(report, records, [](const Record&, Data&) {});
}

// Of errors or of a site.
template <class Errors>
Data SqnrCell(const Errors& errors) {
  return errors.exact ? Word("exact") : Cell(errors.sqnr_db, FormatDb);
}

std::string ClipText(const ArmReport& arm) {
  if (arm.clip_range) return fmt::format("{:g}", *arm.clip_range);
  return IsSweepPoint(arm) ? "no clip" : "";
}

Data ArmRow(const Report& report, const ArmReport& arm) {
  const bool reference = arm.precision == Precision::kFp16;
  const OutputErrors* errors = ErrorsOf(arm, MainOutput(report));
  Data row = RowOf(report, errors == nullptr ? OutputErrors{} : *errors);
  Describe<ArmReport>(RowMembers<ArmReport>(report, arm, row));
  row.set("sqnr_db", reference || errors == nullptr ? Word("reference") : SqnrCell(*errors));
  row.set("has_label", !arm.label.empty());
  row.set("timed", arm.chosen || reference);
  row.set("clip_range", Cell(ClipText(arm), arm.clip_range.value_or(HUGE_VAL)));
  row.set("weights", arm.weight_bytes ? FormatBytes(*arm.weight_bytes) : "–");
  return row;
}

// A site's errors by "<fake|int8>_<view>" of the chosen arms.
using SiteViews = std::map<std::string, const SiteReport*>;

std::vector<SiteViews> ViewsBySite(const Report& report) {
  std::vector<SiteViews> views(report.site_names.size());
  for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
    const std::optional<ArmRef> arm = ChosenArm(report, precision);
    for (const SiteReport& site : report.sites) {
      if (site.arm != arm) continue;
      views[site.site.index][fmt::format("{}_{}", NameOf(precision), NameOf(site.view))] = &site;
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
  for (const char* view :
       {"fake_teacher_forced", "int8_teacher_forced", "fake_propagated", "int8_propagated"}) {
    const auto at = views.find(view);
    row.set(view, at == views.end() ? Cell(kUndefined, FormatDb) : SqnrCell(*at->second));
  }
  row.set("saturation", Cell(100 * site.saturation, FormatShort));
  return row;
}

std::string CandidateText(const PlanChoice& choice) {
  std::string text;
  for (const PlanCandidate& candidate : choice.candidates) {
    text += fmt::format("{}{}: {} ({} dB)", text.empty() ? "" : "; ", candidate.rule,
                        FormatShort(candidate.clip_range), FormatDb(candidate.sqnr_db));
  }
  return text;
}

// Facts as "a.b.c" and a value, lists as JSON.
void AddFacts(List& rows, const std::string& prefix, const nlohmann::ordered_json& facts) {
  for (const auto& [key, value] : facts.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object()) {
      AddFacts(rows, name, value);
      continue;
    }
    Data row;
    row.set("name", Shown(name));
    row.set("value", Shown(value.is_string()
                               ? value.get<std::string>()
                               : value.dump(-1, ' ', false,
                                            nlohmann::ordered_json::error_handler_t::replace)));
    rows.push_back(row);
  }
}

}  // namespace

Data Shown(const std::string& text) {
  return Data(WithoutControls(ValidUtf8(text), KeepLines::kYes));
}

Data ArmRows(const Report& report) {
  List rows;
  const auto add = [&](const auto& wanted) {
    for (const ArmReport& arm : report.arms) {
      if (wanted(arm)) rows.push_back(ArmRow(report, arm));
    }
  };
  add([](const ArmReport& arm) { return arm.precision == Precision::kFp16; });
  add([](const ArmReport& arm) { return arm.chosen; });
  add([](const ArmReport& arm) { return !arm.chosen && !arm.label.empty(); });
  return Data(rows);
}

Data SweepRows(const Report& report) {
  List rows;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const ArmRef arm : curve.arms) rows.push_back(ArmRow(report, report[arm]));
  }
  return Data(rows);
}

Data OutputRows(const Report& report) {
  List rows;
  for (const ArmReport& arm : report.arms) {
    for (const auto& [output, errors] : arm.outputs) {
      Data row = RowOf(report, errors);
      row.set("name", Shown(arm.name));
      row.set("output", Shown(output));
      row.set("sqnr_db", SqnrCell(errors));
      rows.push_back(row);
    }
  }
  return Data(rows);
}

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

Data CountsRow(const Report& report) {
  Data row = RowOf(report, report.checks.total);
  row.set("passed", report.checks.total.Passed());
  row.set("code_differences", RowOf(report, report.checks.total.code_differences));
  return row;
}

Data CheckRows(const Report& report) { return RowsOf(report, report.checks.sites); }

Data PassRows(const Report& report) { return RowsOf(report, report.checks.passes); }

Data PlanRows(const Report& report) {
  return RowsOf(report, report.plan_choices, [](const PlanChoice& choice, Data& row) {
    row.set("candidates", Shown(CandidateText(choice)));
  });
}

Data HealthRows(const Report& report) {
  return RowsOf(report, report.health,
                [](const HealthNote& note, Data& row) { row.set("has_site", !note.site.empty()); });
}

Data SkippedRows(const Report& report) { return RowsOf(report, report.skipped_images); }

Data FactRows(const Report& report) {
  List rows;
  AddFacts(rows, "", report.facts.json());
  return Data(rows);
}

Data VerdictData(const Report& report) {
  Data verdict = RowOf(report, report.verdict);
  List notes;
  for (const std::string& text : report.verdict.notes) {
    Data note;
    note.set("note", Shown(text));
    notes.push_back(note);
  }
  verdict.set("notes", Data(notes));
  return verdict;
}

Data RunData(const RunInfo& run) {
  const Report none;
  Data data = RowOf(none, run);
  data.set("peak_memory", FormatBytes(run.peak_memory_bytes));
  data.set("stages", RowsOf(none, run.stages));
  List latency;
  for (const auto& [precision, figures] : run.latency) {
    Data row = RowOf(none, figures);
    row.set("precision", Shown(precision));
    latency.push_back(row);
  }
  data.set("has_latency", !latency.empty());
  data.set("latency", Data(latency));
  return data;
}

Data WorstImageRows(const Report& report) {
  return RowsOf(report, report.worst_images, [](const WorstImage& image, Data& row) {
    row.set("has_answer", !image.answer.empty());
    row.set("differs", image.answer != image.reference_answer);
    row.set("has_accepted", !image.accepted.empty());
    row.set("has_thumbnail", !image.thumbnail.empty());
    if (image.thumbnail.empty()) return;
    row.set("png", PngDataUri(image.thumbnail, image.height, image.width));
    row.set("width", fmt::format("{}", image.width));
    row.set("height", fmt::format("{}", image.height));
  });
}

}  // namespace w8a8::html
