#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/cli/artifacts/inspect.h"

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

std::string ValueText(const ordered_json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  if (value.is_array()) {
    std::string text;
    for (const ordered_json& element : value) {
      text += (text.empty() ? "" : ", ") + ValueText(element);
    }
    return text.empty() ? "none" : text;
  }
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

bool IsTable(const ordered_json& value) {
  return value.is_array() && !value.empty() && value.front().is_object();
}

// Sentences stand below each other, other lists on one line.
bool IsListOfSentences(const ordered_json& value) {
  return value.is_array() && value.size() > 0 &&
         std::any_of(value.begin(), value.end(), [](const ordered_json& element) {
           return element.is_string() && element.get_ref<const std::string&>().size() > 24;
         });
}

std::string TableText(const std::string& title, const ordered_json& rows) {
  std::vector<std::string> columns;
  for (const auto& [key, value] : rows.front().items()) columns.push_back(key);
  std::vector<std::vector<std::string>> lines = {columns};
  std::vector<bool> numeric(columns.size(), true);
  for (const ordered_json& row : rows) {
    lines.emplace_back();
    for (size_t c = 0; c < columns.size(); ++c) {
      const ordered_json value = row.value(columns[c], ordered_json());
      numeric[c] = numeric[c] && (value.is_number() || value.is_null());
      lines.back().push_back(ValueText(value));
    }
  }
  std::vector<size_t> widths(columns.size(), 0);
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string text = "\n" + title + "\n";
  for (const auto& line : lines) {
    std::string written;
    for (size_t c = 0; c < line.size(); ++c) {
      written += numeric[c] ? fmt::format("  {:>{}}", line[c], widths[c])
                            : fmt::format("  {:<{}}", line[c], widths[c]);
    }
    text += written.substr(0, written.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

using Lines = std::vector<std::pair<std::string, std::string>>;

void AddFacts(const ordered_json& facts, const std::string& before, Lines& lines) {
  for (const auto& [key, value] : facts.items()) {
    if (IsTable(value)) continue;
    const std::string name = before + key;
    if (value.is_object()) {
      AddFacts(value, name + ".", lines);
    } else if (IsListOfSentences(value)) {
      for (const ordered_json& element : value) {
        lines.emplace_back(name, ValueText(element));
      }
    } else {
      lines.emplace_back(name, ValueText(value));
    }
  }
}

}  // namespace

std::string FactsText(const ordered_json& facts) {
  Lines lines;
  AddFacts(facts, "", lines);
  size_t width = 0;
  for (const auto& [name, value] : lines) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : lines) text += fmt::format("{:<{}}  {}\n", name, width, value);
  for (const auto& [key, value] : facts.items()) {
    if (IsTable(value)) text += TableText(key, value);
  }
  return text;
}

}  // namespace w8a8
