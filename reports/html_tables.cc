#include "reports/html_tables.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "reports/text.h"

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

Data Cell(const std::optional<Estimate>& estimate, Format format) {
  return Cell(estimate.value_or(Estimate{}), format);
}

Data Count(uint64_t value) { return Cell(FormatCount(value), static_cast<double>(value)); }

Data SqnrCell(const OutputErrors& errors) {
  return errors.exact ? Word("exact") : Cell(errors.sqnr_db, FormatDb);
}

Data SqnrCell(const SiteReport& site) {
  return site.exact ? Word("exact") : Cell(site.sqnr_db, FormatDb);
}

const OutputErrors* ErrorsOf(const ArmReport& arm, const std::string& output) {
  const auto at = arm.outputs.find(output);
  return at == arm.outputs.end() ? nullptr : &at->second;
}

std::string ClipText(const ArmReport& arm) {
  if (arm.clip_range) return fmt::format("{:g}", *arm.clip_range);
  return arm.granularity && arm.granularity != "plan" ? "no clip" : "";
}

Data ArmRow(const ArmReport& arm, const std::string& output) {
  const bool reference = arm.precision == "fp16";
  Data row;
  row.set("name", Shown(arm.name));
  row.set("has_label", !arm.label.empty());
  row.set("label", Shown(arm.label));
  row.set("chosen", arm.chosen);
  row.set("precision", Shown(arm.precision));
  row.set("timed", arm.chosen || reference);
  row.set("granularity", Shown(arm.granularity.value_or("")));
  row.set("clip_range", Cell(ClipText(arm), arm.clip_range.value_or(HUGE_VAL)));
  const OutputErrors* errors = ErrorsOf(arm, output);
  row.set("sqnr_db", reference || errors == nullptr ? Word("reference") : SqnrCell(*errors));
  row.set("cosine_mean", Cell(errors ? errors->cosine_mean : Estimate{}, FormatFraction));
  row.set("cosine_p1", Cell(errors ? errors->cosine_p1 : Estimate{}, FormatFraction));
  row.set("top1", Cell(arm.top1, FormatShare));
  row.set("top5", Cell(arm.top5, FormatShare));
  row.set("agreement", Cell(arm.agreement, FormatShare));
  row.set("weights", arm.weight_bytes ? FormatBytes(*arm.weight_bytes) : "–");
  return row;
}

// A site's errors by "<fake|int8>_<view>" of the chosen arms.
using SiteViews = std::map<std::string, const SiteReport*>;

std::vector<SiteViews> ViewsBySite(const Report& report, const SiteOrder& order) {
  std::vector<SiteViews> views(order.rows.size());
  for (const char* precision : {"fake", "int8"}) {
    const ArmReport* arm = ChosenArm(report, precision);
    if (arm == nullptr) continue;
    for (const SiteReport& site : report.sites) {
      if (site.arm != arm->name) continue;
      views[order.place.at(site.site)][fmt::format("{}_{}", precision, site.view)] = &site;
    }
  }
  return views;
}

Data SiteRow(const std::string& name, size_t place, const SiteViews& views) {
  Data row;
  row.set("site", Shown(name));
  row.set("place", fmt::format("{}", place));
  for (const char* view :
       {"fake_teacher_forced", "int8_teacher_forced", "fake_propagated", "int8_propagated"}) {
    const auto at = views.find(view);
    row.set(view, at == views.end() ? Cell(kUndefined, FormatDb) : SqnrCell(*at->second));
  }
  const auto at = views.find("int8_teacher_forced");
  const SiteReport site = at == views.end() ? SiteReport{} : *at->second;
  row.set("input_sqnr_db", Cell(site.input_sqnr_db, FormatDb));
  row.set("relative_l2", Cell(site.relative_l2, FormatShort));
  row.set("cosine", Cell(site.cosine, FormatFraction));
  row.set("max_abs", Cell(site.max_abs, FormatShort));
  row.set("mean_error", Cell(site.mean_error, FormatShort));
  row.set("saturation", Cell(100 * site.saturation, FormatShort));
  row.set("nonfinite", Count(site.nonfinite));
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

Data Shown(const std::string& text) { return Data(ValidUtf8(text)); }

Data ArmRows(const Report& report) {
  List rows;
  const auto add = [&](const auto& wanted) {
    for (const ArmReport& arm : report.arms) {
      if (wanted(arm)) rows.push_back(ArmRow(arm, MainOutput(report)));
    }
  };
  add([](const ArmReport& arm) { return arm.precision == "fp16"; });
  add([](const ArmReport& arm) { return arm.chosen; });
  add([](const ArmReport& arm) { return !arm.chosen && !arm.label.empty(); });
  return Data(rows);
}

Data SweepRows(const Report& report) {
  List rows;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const size_t arm : curve.arms) {
      rows.push_back(ArmRow(report.arms[arm], MainOutput(report)));
    }
  }
  return Data(rows);
}

Data OutputRows(const Report& report) {
  List rows;
  for (const ArmReport& arm : report.arms) {
    for (const auto& [output, errors] : arm.outputs) {
      Data row;
      row.set("name", Shown(arm.name));
      row.set("output", Shown(output));
      row.set("sqnr_db", SqnrCell(errors));
      row.set("relative_l2", Cell(errors.relative_l2, FormatShort));
      row.set("cosine_mean", Cell(errors.cosine_mean, FormatFraction));
      row.set("cosine_p1", Cell(errors.cosine_p1, FormatFraction));
      row.set("max_abs", Cell(errors.max_abs, FormatShort));
      row.set("nonfinite", Count(errors.nonfinite));
      rows.push_back(row);
    }
  }
  return Data(rows);
}

Data GuiltyRows(const Report& report) {
  List rows;
  const ArmReport* arm = ChosenArm(report, "int8");
  if (arm == nullptr) return Data(rows);
  const SiteOrder order = OrderOfSites(report);
  const std::vector<SiteViews> views = ViewsBySite(report, order);
  for (const size_t worst : WorstSites(report, arm->name, "teacher_forced", kGuiltySites)) {
    const size_t place = order.place.at(report.sites[worst].site);
    rows.push_back(SiteRow(report.sites[worst].site, place, views[place]));
  }
  return Data(rows);
}

Data SiteRows(const Report& report) {
  const SiteOrder order = OrderOfSites(report);
  const std::vector<SiteViews> views = ViewsBySite(report, order);
  List rows;
  for (size_t place = 0; place < order.rows.size(); ++place) {
    rows.push_back(SiteRow(report.sites[order.rows[place]].site, place, views[place]));
  }
  return Data(rows);
}

Data CountsRow(const CheckCounts& counts) {
  Data row;
  row.set("passed", counts.Passed());
  row.set("int32_compared", Count(counts.int32_compared));
  row.set("int32_mismatches", Count(counts.int32_mismatches));
  row.set("codes_compared", Count(counts.codes_compared));
  row.set("code_mismatches", Count(counts.code_mismatches));
  row.set("one_apart", Count(counts.code_differences[1]));
  row.set("more_apart", Count(counts.code_differences[2]));
  row.set("outputs_compared", Count(counts.outputs_compared));
  row.set("output_mismatches", Count(counts.output_mismatches));
  row.set("nonfinite", Count(counts.nonfinite));
  return row;
}

Data CheckRows(const Report& report) {
  List rows;
  for (const auto& [site, counts] : report.checks.sites) {
    Data row = CountsRow(counts);
    row.set("site", Shown(site));
    rows.push_back(row);
  }
  return Data(rows);
}

Data PassRows(const Report& report) {
  List rows;
  for (const CheckPass& pass : report.checks.passes) {
    Data row = CountsRow(pass.counts);
    row.set("name", Shown(pass.name));
    row.set("images", FormatCount(pass.images));
    rows.push_back(row);
  }
  return Data(rows);
}

Data PlanRows(const Report& report) {
  List rows;
  for (const PlanChoice& choice : report.plan_choices) {
    Data row;
    row.set("site", Shown(choice.site));
    row.set("granularity", Shown(choice.granularity));
    row.set("rule", Shown(choice.rule));
    row.set("clip_range", Cell(choice.clip_range.value_or(kUndefined), FormatShort));
    row.set("scale", Cell(choice.scale.value_or(kUndefined), FormatShort));
    row.set("candidates", Shown(CandidateText(choice)));
    rows.push_back(row);
  }
  return Data(rows);
}

Data HealthRows(const Report& report) {
  List rows;
  for (const HealthNote& note : report.health) {
    Data row;
    row.set("level", Shown(note.level));
    row.set("has_site", !note.site.empty());
    row.set("site", Shown(note.site));
    row.set("text", Shown(note.text));
    rows.push_back(row);
  }
  return Data(rows);
}

Data SkippedRows(const Report& report) {
  List rows;
  for (const SkippedFile& skipped : report.skipped_images) {
    Data row;
    row.set("file", Shown(skipped.file));
    row.set("reason", Shown(skipped.reason));
    rows.push_back(row);
  }
  return Data(rows);
}

Data FactRows(const Report& report) {
  List rows;
  if (report.facts.is_object()) AddFacts(rows, "", report.facts);
  return Data(rows);
}

Data StageRows(const RunInfo& run) {
  List rows;
  for (const StageTime& stage : run.stages) {
    Data row;
    row.set("name", Shown(stage.name));
    row.set("seconds", Cell(stage.seconds, FormatDb));
    row.set("reference_forwards", Cell(stage.reference_forwards, FormatDb));
    rows.push_back(row);
  }
  return Data(rows);
}

Data LatencyRows(const RunInfo& run) {
  List rows;
  for (const auto& [precision, figures] : run.latency) {
    std::string more;
    for (const auto& [name, value] : figures.more) {
      more += fmt::format("{}{} {}", more.empty() ? "" : ", ", name, FormatShort(value));
    }
    Data row;
    row.set("precision", Shown(precision));
    row.set("ms_per_image", Cell(figures.ms_per_image, FormatDb));
    row.set("more", Shown(more));
    rows.push_back(row);
  }
  return Data(rows);
}

}  // namespace w8a8::html
