#include "reports/html_tables.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "reports/html_rows.h"
#include "reports/png_image.h"

namespace w8a8::html {
namespace {

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
  const bool timed = arm.chosen || reference;
  const bool timed_by_name =
      arm.precision == Precision::kInt8 && (arm.part || (!arm.scheme.empty() && !arm.chosen));
  row.set("timed", timed || timed_by_name);
  row.set("latency", Shown(timed ? std::string(NameOf(arm.precision)) : arm.name));
  row.set("clip_range", Cell(ClipText(arm), arm.clip_range.value_or(HUGE_VAL)));
  row.set("weights", arm.weight_bytes ? FormatBytes(*arm.weight_bytes) : "–");
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
  add([](const ArmReport& arm) { return arm.part.has_value(); });
  add(IsSchemePoint);
  add([](const ArmReport& arm) { return !arm.chosen && !arm.label.empty(); });
  return Data(rows);
}

Data SchemeRows(const Report& report) {
  List rows;
  for (const ArmReport& arm : report.arms) {
    const bool named = arm.chosen || IsSchemePoint(arm);
    if (!named || arm.precision != Precision::kInt8 || arm.compressed_tensors.empty()) continue;
    rows.push_back(ArmRow(report, arm));
  }
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

Data CountsRow(const Report& report) {
  Data row = RowOf(report, report.checks.total);
  row.set("passed", report.checks.total.Passed());
  row.set("has_floats", report.checks.total.float_outputs_compared > 0);
  row.set("code_differences", RowOf(report, report.checks.total.code_differences));
  return row;
}

Data CheckRows(const Report& report) { return RowsOf(report, report.checks.sites); }

Data PassRows(const Report& report) { return RowsOf(report, report.checks.passes); }

Data ExpertRows(const Report& report) {
  return RowsOf(report, report.experts, [](const ExpertReport& expert, Data& row) {
    row.set("calibrated", expert.calibration_tokens.has_value());
  });
}

Data AttentionRows(const Report& report) {
  return RowsOf(report, report.attention, [](const AttentionReport& attention, Data& row) {
    row.set("of_block", attention.block.has_value());
    row.set("place", attention.block ? fmt::format("{}", *attention.block) : "1e999");
    row.set("sqnr_db", SqnrCell(attention));
  });
}

Data RoutingRows(const Report& report) { return RowsOf(report, report.routing); }

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
  data.set("has_floats", !run.float_products.empty());
  data.set("peak_memory", FormatBytes(run.peak_memory_bytes));
  data.set("stages", RowsOf(none, run.stages));
  List latency;
  for (const auto& [precision, figures] : run.latency) {
    Data row = RowOf(none, figures);
    row.set("precision", Shown(precision));
    latency.push_back(row);
  }
  data.set("has_site_latency", !run.site_latency.empty());
  data.set("site_latency", RowsOf(none, run.site_latency, [](const SiteLatency& site, Data& row) {
             row.set("not_worth", !IsWorthQuantizing(site));
           }));
  const int64_t not_worth = std::ranges::count_if(run.site_latency, std::not_fn(IsWorthQuantizing));
  data.set("not_worth", fmt::format("{} of {}", not_worth, run.site_latency.size()));
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
