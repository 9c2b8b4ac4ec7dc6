#include "datasets/labels.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/names.h"
#include "runtime/base/utf8.h"

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

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A cell without the quotes that spreadsheets put around commas.
std::string Unquoted(std::string_view cell) {
  const std::string_view quoted = Trimmed(cell);
  if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') return std::string(cell);
  std::string text;
  for (size_t i = 1; i + 1 < quoted.size(); ++i) {
    text += quoted[i];
    if (quoted[i] == '"' && quoted[i + 1] == '"' && i + 2 < quoted.size()) ++i;
  }
  return text;
}

std::vector<std::string> CellsOf(std::string_view line) {
  std::vector<std::string> cells;
  for (const std::string_view cell : Split(line, '\t')) cells.push_back(Unquoted(cell));
  return cells;
}

// One line of a table, for messages.
struct Place {
  const std::filesystem::path& tsv;
  int64_t line;
  std::string Text() const { return fmt::format("{}:{}", tsv.string(), line); }
};

bool IsWholeNumber(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int32_t OneClass(std::string_view text, const ClassIndex& classes, const Place& place) {
  int64_t number = 0;
  const std::vector<int32_t> found = classes.Find(text);
  if (ParseClassNumber(text, &number) && number < classes.classes()) {
    const auto index = static_cast<int32_t>(number);
    if (!found.empty() && found != std::vector<int32_t>{index}) {
      const int32_t other = found.front() == index ? found.back() : found.front();
      Fail(
          "{}: '{}' could be class {} or {}: it is the index of one and the name of the other. "
          "Give the images in sub-folders named as the classes, or rename that class",
          place.Text(), text, index, other);
    }
    return index;
  }
  if (found.size() == 1) return found.front();
  if (IsWholeNumber(text) && found.empty()) {
    Fail("{}: '{}' is no class index: there are {} classes (0 to {})", place.Text(), text,
         classes.classes(), classes.classes() - 1);
  }
  if (found.empty()) {
    Fail("{}: '{}' is neither a class index (a number from 0) nor {}.{}", place.Text(), text,
         classes.named() ? "the name of one of the model's classes"
                         : "a name: the model's config names no classes",
         DidYouMean(text, classes.names()));
  }
  Fail("{}: '{}' could be class {} or {}, which both are called so; write the index", place.Text(),
       text, found[0], found[1]);
}

std::vector<int32_t> ClassesOf(const std::string& cell, const ClassIndex& classes,
                               const Place& place) {
  if (cell.find(',') != std::string::npos && classes.Find(cell).size() == 1) {
    return classes.Find(cell);
  }
  std::set<int32_t> indices;
  for (const std::string_view part : Split(cell, ',')) {
    indices.insert(OneClass(Trimmed(part), classes, place));
  }
  return {indices.begin(), indices.end()};
}

size_t AcceptedColumn(const std::vector<std::string>& header, const Place& place) {
  const auto found = std::find_if(header.begin(), header.end(), [](const std::string& name) {
    return Trimmed(name) == "accepted";
  });
  if (found != header.end()) {
    const bool again = std::any_of(found + 1, header.end(), [](const std::string& name) {
      return Trimmed(name) == "accepted";
    });
    if (again) Fail("{}: two columns are called 'accepted'; keep one", place.Text());
    return static_cast<size_t>(found - header.begin());
  }
  if (header.size() < 3) {
    Fail(
        "{}: the header has {} columns and none is called 'accepted'. Write tab-separated columns "
        "with a header; class indices or names go into 'accepted' or the third column.",
        place.tsv.string(), header.size());
  }
  if (IsWholeNumber(header[2])) {
    Fail(
        "{}: the first line holds a label ('{}'), but should be a header: 'file', 'name', "
        "'accepted'.",
        place.Text(), header[2]);
  }
  return 2;
}

std::string ReadTable(const std::filesystem::path& tsv) {
  std::string text = ReadFile(tsv);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (text.find('\0') != std::string::npos) {
    Fail("{}: not UTF-8 text (it holds NUL bytes, as UTF-16 does). Save it as UTF-8.",
         tsv.string());
  }
  return text;
}

// Components of a path; Windows' separators count.
std::vector<std::string_view> PathParts(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find_first_of("/\\"), path.size());
    const std::string_view part = path.substr(0, end);
    if (!part.empty() && part != ".") parts.push_back(part);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

std::string FileName(std::string_view path) {
  const std::vector<std::string_view> parts = PathParts(path);
  return parts.empty() ? "" : std::string(parts.back());
}

// How many components two paths share from the end, where one of them is the end of the other; else
// 0.
size_t SharedEnd(std::string_view a, std::string_view b) {
  const std::vector<std::string_view> in_a = PathParts(a), in_b = PathParts(b);
  const size_t shorter = std::min(in_a.size(), in_b.size());
  return std::equal(in_a.rbegin(), in_a.rbegin() + static_cast<std::ptrdiff_t>(shorter),
                    in_b.rbegin())
             ? shorter
             : 0;
}

}  // namespace

Labels::Labels(LabelsByImage rows, std::string source)
    : rows_(std::move(rows)), source_(std::move(source)) {
  for (const auto& row : rows_) by_file_name_[FileName(row.first)].push_back(&row);
}

const Labels::Row* Labels::RowEndingAs(const std::string& image,
                                       const std::set<const Row*>& taken) const {
  const auto candidates = by_file_name_.find(FileName(image));
  if (candidates == by_file_name_.end()) return nullptr;
  const Row* best = nullptr;
  const Row* as_good = nullptr;
  size_t longest = 0;
  for (const Row* row : candidates->second) {
    const size_t shared = taken.contains(row) ? 0 : SharedEnd(row->first, image);
    if (shared == 0 || shared < longest) continue;
    as_good = shared == longest ? best : nullptr;
    longest = shared;
    best = row;
  }
  if (as_good != nullptr) {
    Fail(
        "{}: the image '{}' could be '{}' or '{}' of the table. Write its path below the image "
        "folder.",
        source_, image, as_good->first, best->first);
  }
  return best;
}

MatchedLabels Labels::Match(const std::vector<std::string>& images) const {
  std::set<const Row*> taken;  // by an image of exactly that name
  for (const std::string& image : images) {
    if (const auto row = rows_.find(image); row != rows_.end()) taken.insert(&*row);
  }
  MatchedLabels matched;
  std::map<const Row*, const std::string*> used;
  for (const std::string& image : images) {
    const auto exact = rows_.find(image);
    const Row* row = exact != rows_.end() ? &*exact : RowEndingAs(image, taken);
    if (row == nullptr) continue;
    const auto [first, is_new] = used.emplace(row, &image);
    if (!is_new && *first->second != image) {
      Fail("{}: '{}' could be the image '{}' or '{}'. Write paths below the image folder.", source_,
           row->first, *first->second, image);
    }
    if (!row->second.empty()) matched.accepted[image] = row->second;
  }
  for (const Row& row : rows_) {
    if (!used.contains(&row)) matched.unused_rows.push_back(row.first);
    if (row.second.empty()) matched.empty_rows.push_back(row.first);
  }
  return matched;
}

Labels ReadLabels(const std::filesystem::path& tsv, const ClassIndex& classes) {
  const std::string text = ReadTable(tsv);
  LabelsByImage rows;
  std::optional<size_t> column;
  Place place{tsv, 0};
  for (std::string_view line : Split(text, '\n')) {
    ++place.line;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::vector<std::string> cells = CellsOf(line);
    if (!column) {
      column = AcceptedColumn(cells, place);
      continue;
    }
    if (cells.size() <= *column) {
      Fail("{}: {} columns, but the class indices are in column {}", place.Text(), cells.size(),
           *column + 1);
    }
    std::vector<int32_t> accepted;
    const std::string cell(Trimmed(cells[*column]));
    if (!cell.empty()) accepted = ClassesOf(cell, classes, place);
    if (!rows.emplace(ValidUtf8(cells[0]), std::move(accepted)).second) {
      Fail("{}: '{}' is listed twice", place.Text(), cells[0]);
    }
  }
  const bool any =
      std::any_of(rows.begin(), rows.end(), [](const auto& row) { return !row.second.empty(); });
  if (!any) Fail("{}: no labels in this table", tsv.string());
  return Labels(std::move(rows), tsv.string());
}

}  // namespace w8a8
