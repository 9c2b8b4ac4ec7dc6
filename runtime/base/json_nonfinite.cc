#include "runtime/base/json_nonfinite.h"

#include <array>
#include <cmath>
#include <limits>

namespace w8a8 {
namespace {

struct Literal {
  std::string_view text;
  double value;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<Literal, 3> kLiterals = {{{"NaN", std::numeric_limits<double>::quiet_NaN()},
                                               {"Infinity", kInfinity},
                                               {"-Infinity", -kInfinity}}};
// Plain characters, so that a writer of JSON does not escape them.
constexpr std::string_view kNonFiniteMark = "no finite number: ";

const Literal* LiteralAt(std::string_view text) {
  for (const Literal& literal : kLiterals) {
    if (text.starts_with(literal.text)) return &literal;
  }
  return nullptr;
}

// Calls `found` with each literal outside strings and its place.
template <class Found>
void ForEachLiteral(std::string_view text, Found found) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') in_string = !in_string;
    if (in_string && text[i] == '\\') ++i;
    if (in_string || (text[i] != 'N' && text[i] != 'I' && text[i] != '-')) continue;
    const Literal* literal = LiteralAt(text.substr(i));
    if (literal == nullptr) continue;
    found(i, *literal);
    i += literal->text.size() - 1;
  }
}

}  // namespace

bool HasNonFinite(std::string_view text) {
  bool any = false;
  ForEachLiteral(text, [&any](size_t, const Literal&) { any = true; });
  return any;
}

std::string MarkNonFinite(std::string_view text) {
  std::string marked;
  size_t copied = 0;
  ForEachLiteral(text, [&](size_t at, const Literal& literal) {
    marked.append(text, copied, at - copied);
    marked.append("\"").append(kNonFiniteMark).append(literal.text).append("\"");
    copied = at + literal.text.size();
  });
  return marked.append(text, copied);
}

std::string UnmarkNonFinite(std::string_view text) {
  std::string plain(text);
  for (const Literal& literal : kLiterals) {
    const std::string quoted =
        "\"" + std::string(kNonFiniteMark) + std::string(literal.text) + "\"";
    for (size_t at = 0; (at = plain.find(quoted, at)) != plain.npos;) {
      plain.replace(at, quoted.size(), literal.text);
    }
  }
  return plain;
}

std::string NonFiniteMark(double value) {
  for (const Literal& literal : kLiterals) {
    const bool same = std::isnan(value) ? std::isnan(literal.value) : value == literal.value;
    if (same) return std::string(kNonFiniteMark) + std::string(literal.text);
  }
  return "";
}

std::optional<double> ValueOfMark(std::string_view mark) {
  if (!mark.starts_with(kNonFiniteMark)) return std::nullopt;
  mark.remove_prefix(kNonFiniteMark.size());
  for (const Literal& literal : kLiterals) {
    if (mark == literal.text) return literal.value;
  }
  return std::nullopt;
}

}  // namespace w8a8
