#include "datasets/folder_labels.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/base/error.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// The folders at one depth of the set.
struct Level {
  std::map<std::string, std::string, std::less<>> folder_of;  // by image
  std::set<std::string> folders;
  bool innermost = false;  // no image lies deeper

  void Add(const std::string& image, std::string_view folder) {
    folder_of.emplace(image, folder);
    folders.emplace(folder);
  }
};

std::vector<std::string_view> FoldersOf(std::string_view image) {
  std::vector<std::string_view> folders;
  while (true) {
    const size_t end = image.find('/');
    if (end == std::string_view::npos) return folders;
    const std::string_view folder = image.substr(0, end);
    if (!folder.empty() && folder != "." && folder != "..") folders.push_back(folder);
    image.remove_prefix(end + 1);
  }
}

// The depths that all images in folders reach, the outermost first, and last the folders that hold
// the images.
std::vector<Level> LevelsOf(const std::vector<std::string>& images) {
  size_t least = SIZE_MAX, most = 0;
  for (const std::string& image : images) {
    const size_t depth = FoldersOf(image).size();
    if (depth == 0) continue;
    least = std::min(least, depth);
    most = std::max(most, depth);
  }
  if (most == 0) return {};
  std::vector<Level> levels(least + (most > least ? 1 : 0));
  for (const std::string& image : images) {
    const std::vector<std::string_view> folders = FoldersOf(image);
    if (folders.empty()) continue;
    for (size_t depth = 0; depth < least; ++depth) levels[depth].Add(image, folders[depth]);
    if (most > least) levels.back().Add(image, folders.back());
  }
  levels.back().innermost = true;
  return levels;
}

// "val" of "Val", "val2017", "val_set".
std::string SplitStem(std::string_view folder) {
  std::string stem;
  for (char c : folder) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c >= 'a' && c <= 'z') stem += c;
  }
  if (stem.size() > 3 && stem.ends_with("set")) stem.resize(stem.size() - 3);
  return stem;
}

bool IsSplit(std::string_view folder) {
  static const std::set<std::string> kSplits = {
      "train", "training", "val",  "valid", "validation", "dev",         "test",
      "tests", "testing",  "eval", "calib", "evaluation", "calibration", "holdout"};
  return kSplits.contains(SplitStem(folder));
}

// One to judge on, of several.
std::string SplitToGive(const std::set<std::string>& splits) {
  for (const std::string& split : splits) {
    const std::string stem = SplitStem(split);
    if (!stem.starts_with("train") && !stem.starts_with("calib")) return split;
  }
  return *splits.begin();
}

void RefuseSplits(const std::vector<Level>& levels, const ClassIndex& classes,
                  const std::string& root) {
  std::string above = "/";
  for (const Level& level : levels) {
    const std::set<std::string>& folders = level.folders;
    if (folders.size() == 1) {
      above += *folders.begin() + "/";
      continue;
    }
    const bool splits = std::all_of(folders.begin(), folders.end(), IsSplit);
    const bool classes_too =
        level.innermost && std::all_of(folders.begin(), folders.end(), [&](const auto& folder) {
          return !classes.Find(folder).empty();
        });
    if (!splits || classes_too) return;
    Fail(
        "{}: the sub-folders {} are splits of a data set, not classes; judged together they would "
        "mix what the model was trained on with what it was not. Give one of them: {}.",
        root.empty() ? "the images" : root, FirstOf({folders.begin(), folders.end()}),
        root.empty() ? SplitToGive(folders) : root + above + SplitToGive(folders));
  }
}

using Numbered = std::map<std::string, int32_t, std::less<>>;  // index by folder

// Several folders may be one class: 'tench' and 'n01440764'.
size_t CountClasses(const Numbered& index_of) {
  std::set<int32_t> classes;
  for (const auto& [folder, index] : index_of) classes.insert(index);
  return classes.size();
}

// What a level's folders are by name.
struct NamedLevel {
  Numbered named;
  std::vector<std::string> unknown;
  std::map<std::string, std::vector<int32_t>> shared;  // by several classes
};

NamedLevel NamesOfLevel(const Level& level, const ClassIndex& classes) {
  NamedLevel names;
  for (const std::string& folder : level.folders) {
    const std::vector<int32_t> found = classes.Find(folder);
    if (found.empty()) names.unknown.push_back(folder);
    if (found.size() == 1) names.named.emplace(folder, found.front());
    if (found.size() > 1) names.shared.emplace(folder, found);
  }
  return names;
}

void RefuseShared(const NamedLevel& names, const std::string& root) {
  if (names.shared.empty()) return;
  const auto& [folder, found] = *names.shared.begin();
  Fail(
      "{}: the sub-folder '{}' could be class {} or {}, which both are called so. Give a table of "
      "labels with indices.",
      root, folder, found[0], found[1]);
}

[[noreturn]] void RefuseUnknown(const std::vector<std::string>& unknown, size_t known,
                                const ClassIndex& classes, const std::string& root) {
  std::string quoted;
  for (const std::string& folder : unknown) {
    quoted += (quoted.empty() ? "'" : ", '") + folder + "'";
    if (quoted.size() > 200) break;
  }
  Fail(
      "{}: {} of its {} sub-folders {} none of the model's {} classes: {}.{} Name them as the "
      "classes, take them out, or give a table of labels.",
      root, unknown.size(), unknown.size() + known, unknown.size() == 1 ? "is" : "are",
      classes.classes(), quoted, DidYouMean(unknown.front(), classes.names()));
}

// The level whose folders are classes, and which.
struct Choice {
  const Level* level = nullptr;
  Numbered index_of;
};

std::optional<Choice> ByName(const std::vector<Level>& levels, const ClassIndex& classes,
                             const std::string& root) {
  std::vector<std::string> unknown;
  size_t known = 0;
  for (const Level& level : levels) {
    NamedLevel names = NamesOfLevel(level, classes);
    if (names.unknown.empty()) {
      RefuseShared(names, root);
      return Choice{&level, std::move(names.named)};
    }
    if (&level != levels.data() || names.named.empty()) continue;
    unknown = names.unknown;
    known = names.named.size();
  }
  if (known > 0) RefuseUnknown(unknown, known, classes, root);
  return std::nullopt;
}

// The folders above the numbers are no numbers: in 2021/07 none is a class.
std::optional<Choice> ByNumber(const std::vector<Level>& levels, const ClassIndex& classes,
                               bool ordered_too, const std::string& root) {
  for (const Level& level : levels) {
    Numbered numbers;
    std::vector<std::string> beyond;
    for (const std::string& folder : level.folders) {
      int64_t number = 0;
      if (!ParseClassNumber(folder, &number)) continue;
      if (number < classes.classes()) {
        numbers.emplace(folder, static_cast<int32_t>(number));
      } else {
        beyond.push_back(folder);
      }
    }
    if (numbers.size() == level.folders.size()) return Choice{&level, std::move(numbers)};
    const bool all_numbers = numbers.size() + beyond.size() == level.folders.size();
    const bool by_order = ordered_too && std::ssize(level.folders) == classes.classes();
    if (all_numbers && !numbers.empty() && !by_order) {
      RefuseUnknown(beyond, numbers.size(), classes, root);
    }
    if (level.folders.size() > 1 || all_numbers) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Choice> InOrder(const std::vector<Level>& levels, const ClassIndex& classes,
                              FolderOrder order) {
  if (order == FolderOrder::kNone || classes.named()) return std::nullopt;
  const bool natural = order == FolderOrder::kNatural;
  for (const Level& level : levels) {
    if (natural && !level.innermost) continue;
    if (std::ssize(level.folders) != classes.classes()) continue;
    std::vector<std::string> folders(level.folders.begin(), level.folders.end());
    if (natural) std::stable_sort(folders.begin(), folders.end(), NaturallyBefore);
    Choice choice{&level, {}};
    for (const std::string& folder : folders) {
      choice.index_of.emplace(folder, static_cast<int32_t>(choice.index_of.size()));
    }
    return choice;
  }
  return std::nullopt;
}

std::string OrderText(const Numbered& index_of, FolderOrder order) {
  std::map<int32_t, std::string> folders;
  for (const auto& [folder, index] : index_of) folders.emplace(index, folder);
  std::vector<std::string> shown;
  const size_t count = folders.size();
  for (const auto& [index, folder] : folders) {
    const auto place = static_cast<size_t>(index);
    if (place < 3 || place + 1 == count) shown.push_back(fmt::format("{} = '{}'", index, folder));
    if (place == 3 && count > 4) shown.emplace_back("...");
  }
  return fmt::format(
      "the model names no classes, so its {} sub-folders are numbered in the order that {} gives "
      "them ({})",
      count, order == FolderOrder::kNatural ? "timm" : "torchvision", fmt::join(shown, ", "));
}

// Why the folders are no classes; without any there is nothing to say.
std::string NoClassesText(const std::vector<Level>& levels, const ClassIndex& classes) {
  if (levels.empty()) return "";
  const std::set<std::string>& folders = levels.front().folders;
  return fmt::format("the sub-folder '{}' is none of the model's {} classes{}", *folders.begin(),
                     classes.classes(),
                     classes.named() ? ""
                                     : fmt::format(", which have no names (and {} sub-folders are "
                                                   "not one for each)",
                                                   folders.size()));
}

FolderLabels Chosen(const Choice& choice, FoldersAre folders, std::string text) {
  FolderLabels labels{.accepted = {}, .folders = folders, .text = std::move(text), .folder = {}};
  for (const auto& [image, folder] : choice.level->folder_of) {
    labels.accepted[image] = {choice.index_of.at(folder)};
  }
  std::map<int32_t, std::string> by_index;
  for (const auto& [folder, index] : choice.index_of) by_index.emplace(index, folder);
  for (const auto& [index, folder] : by_index) labels.folder.push_back(folder);
  return labels;
}

// Texts and numbers in turn, as Python's re.split(r'(\d+)') gives them.
std::vector<std::string> TextsAndNumbers(const std::string& name) {
  std::vector<std::string> parts(1);
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool digit = c >= '0' && c <= '9';
    const bool in_number = parts.size() % 2 == 0;
    if (digit != in_number) parts.emplace_back();
    parts.back() += c;
  }
  if (parts.size() % 2 == 0) parts.emplace_back();
  return parts;
}

}  // namespace

bool NaturallyBefore(const std::string& a, const std::string& b) {
  const std::vector<std::string> in_a = TextsAndNumbers(a), in_b = TextsAndNumbers(b);
  for (size_t i = 0; i < std::min(in_a.size(), in_b.size()); ++i) {
    std::string_view left = in_a[i], right = in_b[i];
    if (i % 2 == 1) {  // numbers by their value
      left.remove_prefix(std::min(left.find_first_not_of('0'), left.size()));
      right.remove_prefix(std::min(right.find_first_not_of('0'), right.size()));
      if (left.size() != right.size()) return left.size() < right.size();
    }
    if (left != right) return left < right;
  }
  return in_a.size() < in_b.size();
}

FolderLabels LabelsFromFolders(const std::vector<std::string>& images, const ClassIndex& classes,
                               FolderOrder order, const std::string& root) {
  const std::vector<Level> levels = LevelsOf(images);
  RefuseSplits(levels, classes, root);
  const std::string name = root.empty() ? "the images" : root;
  if (const auto named = ByName(levels, classes, name)) {
    return Chosen(*named, FoldersAre::kNames,
                  fmt::format("sub-folders by name: {} of the model's {} classes",
                              CountClasses(named->index_of), classes.classes()));
  }
  const bool ordered_too = order != FolderOrder::kNone && !classes.named();
  if (const auto numbered = ByNumber(levels, classes, ordered_too, name)) {
    return Chosen(*numbered, FoldersAre::kNumbers,
                  fmt::format("sub-folders by number: {} of the model's {} classes",
                              CountClasses(numbered->index_of), classes.classes()));
  }
  if (const auto ordered = InOrder(levels, classes, order)) {
    return Chosen(*ordered, FoldersAre::kOrdered, OrderText(ordered->index_of, order));
  }
  FolderLabels none;
  none.text = NoClassesText(levels, classes);
  return none;
}

}  // namespace w8a8
