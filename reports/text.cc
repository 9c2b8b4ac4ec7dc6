#include "reports/text.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace w8a8 {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kNone = "–";

// The length of the UTF-8 sequence that starts at text[at], or 0 if it is none: overlong forms,
// surrogates and values above U+10FFFF are none (RFC 3629).
size_t SequenceLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(at);
  if (lead < 0x80) return lead == 0 ? 0 : 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0u) != 0x80u) return 0;
  }
  const unsigned second = byte(at + 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool excluded = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || excluded ? 0 : length;
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = SequenceLength(text, at);
    valid += length > 0 ? text.substr(at, length) : kReplacement;
    at += length > 0 ? length : 1;
  }
  return valid;
}

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
