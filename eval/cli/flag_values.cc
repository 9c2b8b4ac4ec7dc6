#include "eval/cli/flag_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include <fmt/ranges.h>

#include "eval/cli/usage_error.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

template <class Number>
bool ParseWhole(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end && !text.empty();
}

// The one of `values` whose name is `text`.
template <class Enum>
Enum ParseName(std::string_view flag, const std::string& text, std::initializer_list<Enum> values) {
  std::vector<std::string_view> names;
  for (const Enum value : values) {
    if (text == NameOf(value)) return value;
    names.push_back(NameOf(value));
  }
  FailUsage("{} '{}': takes {}.", flag, text, fmt::join(names, "|"));
}

// What people ask for most, to suggest from.
const std::vector<std::string>& UsualSchemes() {
  static const std::vector<std::string> names = {
      "w8a8-token", "w8a8-tensor", "w8a8-token-asym", "w8a8-tensor-asym", "w8a8-token-g32",
      "w8a8o8",     "w8a16",       "w4a16",           "w4a16-g128",       "w4a8-token",
      "w4a8-g128",  "w4a8o8",      "w8a8-token-vllm", "w8a16-vllm"};
  return names;
}

}  // namespace

float ParseFloat(std::string_view flag, const std::string& text) {
  float value = 0;
  if (!ParseWhole(text, value) || std::isnan(value)) {
    FailUsage("{} '{}': not a decimal number that fits binary32.", flag, text);
  }
  return value;
}

double ParseNumber(std::string_view flag, const std::string& text) {
  double value = 0;
  if (!ParseWhole(text, value) || !std::isfinite(value)) {
    FailUsage("{} '{}': not a finite decimal number.", flag, text);
  }
  return value;
}

double ParseFraction(std::string_view flag, const std::string& text) {
  const double value = ParseNumber(flag, text);
  if (value < 0 || value > 1) {
    FailUsage("{} '{}': takes a fraction from 0 to 1 (0.98 is 98 %).", flag, text);
  }
  return value;
}

float ParseClipRange(std::string_view flag, const std::string& text) {
  const float value = ParseFloat(flag, text);
  if (!(value > 0)) FailUsage("{} '{}': a clip range is greater than 0, or inf.", flag, text);
  return value;
}

int64_t ParseCount(std::string_view flag, const std::string& text, int64_t least, int64_t most) {
  int64_t value = 0;
  const bool fits = ParseWhole(text, value);
  if (fits && value >= least && value <= most) return value;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  const bool too_large = digits && (!fits || value > most);
  if (most == std::numeric_limits<int64_t>::max() && !too_large) {
    FailUsage("{} '{}': takes a whole number of at least {}.", flag, text, least);
  }
  FailUsage("{} '{}': takes a whole number from {} to {}.", flag, text, least, most);
}

uint64_t ParseSize(std::string_view flag, const std::string& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  uint64_t value = 0;
  const std::string unit = text.substr(digits);
  int shift = -1;
  if (unit.empty() || unit == "B") shift = 0;
  if (unit == "K" || unit == "KiB") shift = 10;
  if (unit == "M" || unit == "MiB") shift = 20;
  if (unit == "G" || unit == "GiB") shift = 30;
  if (unit == "T" || unit == "TiB") shift = 40;
  if (shift < 0 || !ParseWhole(text.substr(0, digits), value) || value == 0 ||
      value > (~uint64_t{0} >> 1) >> shift) {
    FailUsage("{} '{}': takes a size such as 512MiB or 2GiB, above 0 and below 8388608TiB.", flag,
              text);
  }
  return value << shift;
}

void RequireOneOf(std::string_view flag, const std::string& text,
                  std::initializer_list<std::string_view> allowed) {
  if (std::ranges::find(allowed, text) != allowed.end()) return;
  FailUsage("{} '{}': takes {}.", flag, text, fmt::join(allowed, "|"));
}

Granularity ParseGranularity(std::string_view flag, const std::string& text) {
  return ParseName(flag, text, {Granularity::kToken, Granularity::kTensor});
}

FakeFlavour ParseFakeFlavour(std::string_view flag, const std::string& text) {
  return ParseName(flag, text,
                   {FakeFlavour::kIdeal, FakeFlavour::kLlmAwq, FakeFlavour::kVllmStatic,
                    FakeFlavour::kVllmStaticBf16});
}

WeightConvention ParseWeightConvention(std::string_view flag, const std::string& text) {
  return ParseName(flag, text, {WeightConvention::kNative, WeightConvention::kVllm});
}

Scheme ParseSchemeOf(std::string_view flag, const std::string& text) {
  try {
    return ParseScheme(text);
  } catch (const BadSetting& error) {
    FailUsage("{} {}{}", flag, error.what(), DidYouMean(text, UsualSchemes()));
  }
}

std::vector<Scheme> ParseSchemes(std::string_view flag, const std::string& text) {
  std::vector<Scheme> schemes;
  for (const std::string& part : ParseList(flag, text)) {
    const Scheme scheme = ParseSchemeOf(flag, part);
    if (std::ranges::find(schemes, scheme) != schemes.end()) {
      FailUsage("{} '{}': {} is listed twice.", flag, text, SchemeName(scheme));
    }
    schemes.push_back(scheme);
  }
  return schemes;
}

Precision ParsePrecision(std::string_view flag, const std::string& text) {
  return ParseName(flag, text,
                   {Precision::kFp16, Precision::kFake, Precision::kEmulated, Precision::kInt8});
}

AttentionPrecision ParseAttention(std::string_view flag, const std::string& text) {
  return ParseName(
      flag, text,
      {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8});
}

std::vector<std::string> ParseList(std::string_view flag, const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    if (part.empty()) FailUsage("{} '{}': a comma-separated list has an empty part.", flag, text);
    if (std::find(parts.begin(), parts.end(), part) != parts.end()) {
      FailUsage("{} '{}': '{}' stands there twice.", flag, text, part);
    }
    parts.push_back(part);
    if (end == text.size()) return parts;
    begin = end + 1;
  }
}

}  // namespace w8a8
