#include "eval/summary.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace w8a8 {
namespace {

constexpr size_t kWorstSites = 3;
constexpr size_t kColumns = 80;

std::string Db(const OutputErrors& errors) {
  if (errors.exact) return "exact";
  if (std::isnan(errors.sqnr_db.value)) return "-";
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", errors.sqnr_db.value, errors.sqnr_db.low,
                     errors.sqnr_db.high);
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

std::string ArmLine(const ArmReport& arm, const std::string& output) {
  const auto errors = arm.outputs.find(output);
  return fmt::format("{:<24} {:<20} {:>6}  {}\n", arm.name,
                     errors == arm.outputs.end() ? "reference" : Db(errors->second),
                     Percent(arm.top1), PercentInterval(arm.agreement));
}

bool IsSweepPoint(const ArmReport& arm) {
  return arm.precision == "int8" && !arm.chosen && arm.granularity;
}

// The sweep's int8 arm of largest SQNR.
const ArmReport* BestPoint(const Report& report, const std::string& output) {
  const ArmReport* best = nullptr;
  const auto sqnr = [&](const ArmReport& arm) {
    const auto errors = arm.outputs.find(output);
    return errors == arm.outputs.end() ? kUndefined : errors->second.sqnr_db.value;
  };
  for (const ArmReport& arm : report.arms) {
    if (!IsSweepPoint(arm) || std::isnan(sqnr(arm))) continue;
    if (best == nullptr || sqnr(arm) > sqnr(*best)) best = &arm;
  }
  return best;
}

std::string Wrapped(const std::string& text) {
  std::string lines;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const size_t word = end - begin;
    if (column > 0 && column + 1 + word > kColumns) {
      lines += '\n';
      column = 0;
    } else if (column > 0) {
      lines += ' ';
      ++column;
    }
    lines += text.substr(begin, word);
    column += word;
    begin = end + 1;
  }
  return lines + "\n";
}

}  // namespace

std::string SummaryText(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder) {
  const std::string output = MainOutput(report);
  std::string text = Wrapped(report.verdict.text) + "\n";
  text +=
      fmt::format("{:<24} {:<20} {:>6}  {}\n", "arm", output + " SQNR dB", "top-1", "agreement %");
  for (const ArmReport& arm : report.arms) {
    if (arm.chosen || arm.precision == "fp16") text += ArmLine(arm, output);
  }
  if (const ArmReport* best = BestPoint(report, output)) {
    text += "best of the sweep:\n" + ArmLine(*best, output);
  }
  for (const ArmReport& arm : report.arms) {
    if (IsSweepPoint(arm) && arm.clip_range == 5.0) text += ArmLine(arm, output);
  }
  text += "\nworst sites (int8/plan, on the reference's input):\n";
  for (const size_t i : WorstSites(report, "int8/plan", "teacher_forced", kWorstSites)) {
    text += fmt::format("  {:<24} {:.1f} dB\n", report.sites[i].site, report.sites[i].sqnr_db);
  }
  const CheckCounts& checks = report.checks.total;
  text += fmt::format("checks     {} codes, {} accumulators, {} outputs compared; {} differ\n",
                      checks.codes_compared, checks.int32_compared, checks.outputs_compared,
                      checks.code_mismatches + checks.int32_mismatches + checks.output_mismatches);
  if (!report.skipped_images.empty()) {
    text += fmt::format("skipped    {} images, see the report\n", report.skipped_images.size());
  }
  text += fmt::format("memory     {:.0f} MiB at most\n",
                      static_cast<double>(run.peak_memory_bytes) / (1024.0 * 1024.0));
  return text + fmt::format("report     {}\n", (folder / "report.html").string());
}

}  // namespace w8a8
