#include "datasets/labels.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int32_t> ClassIndex(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

size_t AcceptedColumn(const std::vector<std::string_view>& header,
                      const std::filesystem::path& tsv) {
  const auto found = std::find(header.begin(), header.end(), "accepted");
  if (found != header.end()) return static_cast<size_t>(found - header.begin());
  if (header.size() < 3) {
    Fail(
        "{}: the header has {} columns and none is called 'accepted'. Write tab-separated columns "
        "with a header; class indices go into 'accepted' or the third column.",
        tsv.string(), header.size());
  }
  return 2;
}

}  // namespace

const std::vector<int32_t>* Labels::Find(std::string_view image_name) const {
  auto found = accepted_.find(image_name);
  const size_t slash = image_name.rfind('/');
  if (found == accepted_.end() && slash != std::string_view::npos) {
    found = accepted_.find(image_name.substr(slash + 1));
  }
  return found == accepted_.end() ? nullptr : &found->second;
}

void Labels::CheckClasses(int64_t classes) const {
  for (const auto& [name, indices] : accepted_) {
    for (const int32_t index : indices) {
      if (index >= classes) {
        Fail("labels: '{}' accepts class {}, but there are {} classes (0 to {})", name, index,
             classes, classes - 1);
      }
    }
  }
}

Labels ReadLabels(const std::filesystem::path& tsv) {
  const std::string text = ReadFile(tsv);
  std::map<std::string, std::vector<int32_t>, std::less<>> accepted;
  std::optional<size_t> column;
  int64_t line_number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++line_number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const auto cells = Split(line, '\t');
    if (!column) {
      column = AcceptedColumn(cells, tsv);
      continue;
    }
    if (cells.size() <= *column) {
      Fail("{}:{}: {} columns, but the class indices are in column {}", tsv.string(), line_number,
           cells.size(), *column + 1);
    }
    if (cells[*column].empty()) continue;
    std::set<int32_t> indices;
    for (const std::string_view part : Split(cells[*column], ',')) {
      const auto index = ClassIndex(part);
      if (!index) {
        Fail("{}:{}: '{}' is not a class index (a number from 0)", tsv.string(), line_number, part);
      }
      indices.insert(*index);
    }
    const bool fresh =
        accepted.emplace(std::string(cells[0]), std::vector(indices.begin(), indices.end())).second;
    if (!fresh) Fail("{}:{}: '{}' is listed twice", tsv.string(), line_number, cells[0]);
  }
  if (accepted.empty()) Fail("{}: no labels in this table", tsv.string());
  return Labels(std::move(accepted));
}

NamedFolders LabelsFromNamedFolders(const std::vector<ImageFile>& files,
                                    const std::vector<std::string>& class_names) {
  std::map<std::string, int32_t, std::less<>> index_of;
  for (const std::string& name : class_names) {
    index_of.emplace(name, static_cast<int32_t>(index_of.size()));
  }
  std::map<std::string, std::vector<int32_t>, std::less<>> accepted;
  for (const ImageFile& file : files) {
    const size_t slash = file.name.find('/');
    if (slash == std::string::npos || slash == 0) continue;
    const std::string folder = file.name.substr(0, slash);
    const auto found = index_of.find(folder);
    if (found == index_of.end()) return {.labels = {}, .unknown_folder = folder};
    accepted[file.name] = {found->second};
  }
  return {.labels = Labels(std::move(accepted)), .unknown_folder = ""};
}

Labels LabelsFromFolders(const std::vector<ImageFile>& files, int64_t classes) {
  std::map<std::string, int32_t, std::less<>> index_of;
  bool all_numbers = true;
  for (const ImageFile& file : files) {
    const size_t slash = file.name.find('/');
    if (slash == std::string::npos || slash == 0) return {};
    const std::string folder = file.name.substr(0, slash);
    const auto number = ClassIndex(folder);
    all_numbers = all_numbers && number && *number < classes;
    index_of[folder] = number.value_or(0);
  }
  if (!all_numbers) {
    if (static_cast<int64_t>(index_of.size()) != classes) return {};
    int32_t next = 0;
    for (auto& [folder, index] : index_of) index = next++;
  }
  std::map<std::string, std::vector<int32_t>, std::less<>> accepted;
  for (const ImageFile& file : files) {
    accepted[file.name] = {index_of.find(file.name.substr(0, file.name.find('/')))->second};
  }
  return Labels(std::move(accepted));
}

}  // namespace w8a8
