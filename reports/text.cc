#include "reports/text.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace w8a8 {
namespace {

constexpr std::string_view kNone = "–";

}  // namespace

std::string EscapeMarkup(std::string_view text) {
  std::string escaped;
  for (const char c : ValidUtf8(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string Hdf5ObjectName(std::string_view name) {
  std::string valid = ValidUtf8(name);
  for (char& c : valid) c = c == '/' ? '_' : c;
  return valid.empty() || valid == "." ? "_" : valid;
}

std::string FormatDb(double value) {
  return std::isfinite(value) ? fmt::format("{:.2f}", value) : std::string(kNone);
}

std::string FormatFraction(double value) {
  return std::isfinite(value) ? fmt::format("{:.4f}", value) : std::string(kNone);
}

std::string FormatShare(double value) {
  return std::isfinite(value) ? fmt::format("{:.1f}", 100 * value) : std::string(kNone);
}

std::string FormatShort(double value) {
  return std::isfinite(value) ? fmt::format("{:.3g}", value) : std::string(kNone);
}

std::string FormatCount(uint64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string FormatBytes(uint64_t value) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  for (; scaled >= 1024 && unit + 1 < kUnits.size(); ++unit) scaled /= 1024;
  if (unit == 0) return fmt::format("{} {}", value, kUnits[0]);
  return fmt::format("{:.1f} {}", scaled, kUnits[unit]);
}

std::string FormatEstimate(const Estimate& estimate, std::string (*format)(double)) {
  if (!std::isfinite(estimate.low) && !std::isfinite(estimate.high)) return format(estimate.value);
  return fmt::format("{} [{}, {}]", format(estimate.value), format(estimate.low),
                     format(estimate.high));
}

}  // namespace w8a8
