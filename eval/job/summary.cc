#include "eval/job/summary.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/job/report_experts.h"
#include "quant/spec.h"
#include "reports/json_writer.h"
#include "reports/text.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

constexpr size_t kWorstSites = 3;
constexpr size_t kColumns = 80;
constexpr size_t kNameColumns = 20;
constexpr size_t kSiteColumns = 24;

std::string Db(const OutputErrors& errors) {
  if (errors.exact) return "exact";
  if (std::isnan(errors.sqnr_db.value)) return "-";
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", errors.sqnr_db.value, errors.sqnr_db.low,
                     errors.sqnr_db.high);
}

std::string Fixed(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

std::string Percent(const std::optional<Estimate>& estimate) {
  if (!estimate || std::isnan(estimate->value)) return "-";
  return fmt::format("{:.1f}", 100 * estimate->value);
}

std::string PercentInterval(const std::optional<Estimate>& estimate) {
  if (!estimate || std::isnan(estimate->value)) return "-";
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", 100 * estimate->value, 100 * estimate->low,
                     100 * estimate->high);
}

bool IsHeadArm(const ArmReport& arm) {
  return arm.chosen || arm.part || arm.precision == Precision::kFp16;
}

// One arm: name, SQNR, cosine, top-1, agreement, milliseconds of one image on one thread.
std::string ArmLine(const ArmReport& arm, const std::string& output, const RunInfo& run) {
  const OutputErrors* errors = ErrorsOf(arm, output);
  const bool compared = errors != nullptr;
  const bool by_name = arm.part || IsSchemePoint(arm);
  const bool timed = by_name || IsHeadArm(arm);
  const auto latency = run.latency.find(by_name ? arm.name : std::string(NameOf(arm.precision)));
  const bool wide = arm.name.size() >= kNameColumns;
  const std::string line = fmt::format(
      "{:<{}}{:<20}{:>6}{:>6} {:<19}{:>7}", wide ? arm.name + "\n" : arm.name,
      wide ? arm.name.size() + 1 + kNameColumns : kNameColumns,
      compared ? Db(*errors) : "reference", compared ? Fixed(errors->cosine_mean.value, 4) : "-",
      Percent(arm.top1), compared ? PercentInterval(arm.agreement) : "-",
      timed && latency != run.latency.end() ? Fixed(latency->second.ms_per_image, 1) : "");
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

bool IsInt8Point(const ArmReport& arm) {
  return arm.precision == Precision::kInt8 && IsSweepPoint(arm);
}

bool IsClipRange5(const ArmReport& arm) { return IsInt8Point(arm) && arm.clip_range == kClipRange; }

// The sweep's int8 arm of largest SQNR.
const ArmReport* BestPoint(const Report& report, const std::string& output) {
  const ArmReport* best = nullptr;
  const auto sqnr = [&](const ArmReport& arm) {
    const OutputErrors* errors = ErrorsOf(arm, output);
    return errors == nullptr ? kUndefined : errors->sqnr_db.value;
  };
  for (const ArmReport& arm : report.arms) {
    if (!IsInt8Point(arm) || std::isnan(sqnr(arm))) continue;
    if (best == nullptr || sqnr(arm) > sqnr(*best)) best = &arm;
  }
  return best;
}

// ", 4 of 108 sites in FP16", or nothing.
std::string SitesInFp16(const Report& report) {
  const auto count = std::count_if(report.plan_choices.begin(), report.plan_choices.end(),
                                   [](const PlanChoice& choice) { return choice.layer.empty(); });
  if (count == 0) return "";
  return fmt::format(", {} of {} sites in FP16", count, report.plan_choices.size());
}

// In lines of at most kColumns, those after the first behind `indent` blanks.
std::string Wrapped(const std::string& text, size_t indent = 0) {
  std::string lines;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const size_t word = end - begin;
    if (column > 0 && column + 1 + word > kColumns) {
      lines += '\n';
      lines.append(indent, ' ');
      column = indent;
    } else if (begin > 0) {
      lines += ' ';
      ++column;
    }
    lines += text.substr(begin, word);
    column += word;
    begin = end + 1;
  }
  return lines + "\n";
}

// The arms that everybody asks for, the best point of the sweep and those at CLIP_RANGE = 5.
std::string ArmLines(const Report& report, const RunInfo& run) {
  const std::string output = MainOutput(report);
  std::string text = fmt::format("{:<20}{:<20}{:>6}{:>6} {:<19}{:>7}\n", "arm", output + " SQNR dB",
                                 "cosine", "top-1", "agreement %", "ms/img");
  for (const ArmReport& arm : report.arms) {
    if (IsHeadArm(arm)) text += ArmLine(arm, output, run);
  }
  const ArmReport* best = BestPoint(report, output);
  if (best != nullptr) {
    const bool any_5 = std::any_of(report.arms.begin(), report.arms.end(), IsClipRange5);
    text += fmt::format("best of the sweep{}:\n", any_5 ? ", and CLIP_RANGE = 5" : "");
    text += ArmLine(*best, output, run);
  }
  for (const ArmReport& arm : report.arms) {
    if (IsClipRange5(arm) && &arm != best) text += ArmLine(arm, output, run);
  }
  return text;
}

bool IsInt8Scheme(const ArmReport& arm) {
  return arm.precision == Precision::kInt8 && IsSchemePoint(arm);
}

// The schemes that were asked for, with what compressed-tensors and vLLM call each.
std::string SchemeLines(const Report& report, const RunInfo& run) {
  std::string text;
  for (const ArmReport& arm : report.arms) {
    if (!IsInt8Scheme(arm)) continue;
    if (text.empty()) text = "schemes:\n";
    text += ArmLine(arm, MainOutput(report), run);
    text += "  " + Wrapped(fmt::format("{}; vLLM: {}", arm.compressed_tensors, arm.vllm), 2);
  }
  return text;
}

// What the chosen plan is, of a quantized/ folder too.
std::string PlanLine(const Report& report) {
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  if (!chosen || report[*chosen].compressed_tensors.empty()) return "";
  const ArmReport& arm = report[*chosen];
  const std::string& scheme = arm.scheme.empty() ? arm.compressed_tensors : arm.scheme;
  return Wrapped(fmt::format("plan       {}; vLLM: {}", scheme, arm.vllm), 11);
}

// Whether a worst site's weights or its activations cost it: ", by its weights (alone 21.5)".
std::string GuiltText(const Report& report, const SiteReport& site) {
  const std::string_view culprit = CulpritOf(site);
  const std::optional<ArmRef> weights = PartArm(report, PlanPart::kWeights);
  if (culprit.empty() || !weights) return "";
  for (const SiteReport& alone : report.sites) {
    if (alone.arm != weights || alone.site != site.site || alone.view != site.view) continue;
    return fmt::format(", by its {} (weights alone {})", culprit,
                       alone.exact ? "exact" : Fixed(alone.sqnr_db, 1));
  }
  return "";
}

std::string WorstSiteLines(const Report& report) {
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  if (!chosen) return "";
  std::string text = fmt::format("worst sites ({}{}, on the reference's input):\n",
                                 report[*chosen].name, SitesInFp16(report));
  const std::vector<size_t> worst = WorstSites(report, *chosen, View::kTeacherForced, kWorstSites);
  size_t width = kSiteColumns;  // an expert's site has a longer name
  for (const size_t i : worst) width = std::max(width, report[report.sites[i].site].size());
  for (const size_t i : worst) {
    const SiteReport& site = report.sites[i];
    text += Wrapped(fmt::format("  {:<{}} {:.1f} dB{}", report[site.site], width, site.sqnr_db,
                                GuiltText(report, site)),
                    4);
  }
  return text;
}

// Where INT8 is an error for nothing on this machine.
std::string SlowSiteLines(const RunInfo& run) {
  std::vector<std::string> slow;
  for (const SiteLatency& site : run.site_latency) {
    if (!IsWorthQuantizing(site)) slow.push_back(site.site);
  }
  if (slow.empty()) return "";
  return Wrapped(fmt::format("not faster {} of {} sites save less than a tenth of their time in "
                             "INT8 here: {}",
                             slow.size(), run.site_latency.size(), FirstOf(slow)),
                 11);
}

// Experts that got too little to say anything about, and what the chosen arm routes otherwise.
std::string ExpertLines(const Report& report) {
  std::string text;
  const std::vector<std::string> rare = RareExperts(report);
  if (!rare.empty()) {
    text +=
        Wrapped(fmt::format("experts    {} of {} got {}: {}", rare.size(), report.experts.size(),
                            FewerTokens(report.min_expert_tokens), FirstOf(rare)),
                11);
  }
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  if (!chosen || !report[*chosen].routing_changed) return text;
  return text + fmt::format("routing    {} gives {} % of the tokens to other experts\n",
                            report[*chosen].name, FormatShare(*report[*chosen].routing_changed));
}

// Sites without a static scale.
std::string UnseenLine(const Report& report) {
  std::vector<std::string> unseen;
  for (const PlanChoice& choice : report.plan_choices) {
    if (choice.rule == kNoRows) unseen.push_back(report[choice.site]);
  }
  if (unseen.empty()) return "";
  return Wrapped(fmt::format("FP16       {} sites got no row while calibrating: {}", unseen.size(),
                             FirstOf(unseen)),
                 11);
}

}  // namespace

std::string SummaryText(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder) {
  std::string text = Wrapped(report.verdict.text);
  for (const std::string& note : report.verdict.notes) text += Wrapped(note);
  text += "\n";
  text += ArmLines(report, run) + SchemeLines(report, run) + WorstSiteLines(report);
  text += SlowSiteLines(run);
  text += PlanLine(report) + UnseenLine(report) + ExpertLines(report);
  const CheckCounts& checks = report.checks.total;
  text += fmt::format(
      "checks     {} differ among {:.3g} codes, {:.3g} accumulators, {:.3g} outputs\n",
      checks.mismatches(), static_cast<double>(checks.codes_compared),
      static_cast<double>(checks.int32_compared), static_cast<double>(checks.outputs_compared));
  text += fmt::format("memory     {:.0f} MiB at most\n",
                      static_cast<double>(run.peak_memory_bytes) / (1024.0 * 1024.0));
  if (!report.skipped_images.empty()) {
    text.insert(text.size() - 1,
                fmt::format("; {} images skipped, see the report", report.skipped_images.size()));
  }
  text += fmt::format("report     {}\n", (folder / "report.html").string());
  if (report.facts.json().contains("weights")) {
    text += fmt::format("weights    {}\n", (folder / kQuantizedFolder).string());
  }
  return text;
}

std::string SummaryJson(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder) {
  using Json = nlohmann::ordered_json;
  const Json all = ReportToJson(report);
  const std::string output = MainOutput(report);
  const ArmReport* best = BestPoint(report, output);
  Json json{{"schema", "w8a8-summary/1"}, {"verdict", all["verdict"]}, {"main_output", output}};
  json["arms"] = Json::array();
  json["schemes"] = Json::array();
  json["best_sweep_point"] = nullptr;
  json["clip_range_5"] = Json::array();
  for (size_t i = 0; i < report.arms.size(); ++i) {
    const ArmReport& arm = report.arms[i];
    if (IsHeadArm(arm)) json["arms"].push_back(all["arms"][i]);
    if (IsInt8Scheme(arm)) json["schemes"].push_back(all["arms"][i]);
    if (&arm == best) json["best_sweep_point"] = all["arms"][i];
    if (IsClipRange5(arm)) json["clip_range_5"].push_back(all["arms"][i]);
  }
  json["worst_sites"] = Json::array();
  if (const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8)) {
    for (const size_t i : WorstSites(report, *chosen, View::kTeacherForced, kWorstSites)) {
      json["worst_sites"].push_back(all["sites"][i]);
    }
  }
  if (!report.experts.empty()) json["rare_experts"] = RareExperts(report);
  const CheckCounts& checks = report.checks.total;
  json["checks"] = {{"int32_compared", checks.int32_compared},
                    {"codes_compared", checks.codes_compared},
                    {"outputs_compared", checks.outputs_compared},
                    {"mismatches", checks.mismatches()}};
  json["skipped_images"] = report.skipped_images.size();
  json["latency"] = RunToJson(run)["latency"];
  json["peak_memory_bytes"] = run.peak_memory_bytes;
  json["folder"] = folder.string();
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace w8a8
