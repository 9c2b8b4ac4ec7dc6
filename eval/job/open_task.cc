#include "eval/job/open_task.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "datasets/folder_labels.h"
#include "datasets/labels.h"
#include "eval/job/class_names.h"
#include "eval/job/session.h"
#include "eval/measure/task_accuracy.h"
#include "runtime/base/names.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

// Where the images' names begin; "" of a list of absolute paths.
std::string RootOf(const std::vector<ImageFile>& files) {
  if (files.empty()) return "";
  const std::string& name = files.front().name;
  std::string path = files.front().path.string();
  if (path.size() <= name.size() || !path.ends_with(name)) return "";
  path.resize(path.size() - name.size());
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// The classes and how folders without a name among them would be numbered.
struct Classes {
  ClassIndex index;
  FolderOrder order;
};

Classes ClassesOf(const Session& session, const std::optional<ClassEmbeddings>& embeddings) {
  std::vector<ClassName> names;
  if (embeddings) {
    for (const std::string& name : embeddings->names) {
      names.push_back({.index = std::ssize(names), .name = name, .description = ""});
    }
    return {ClassIndex(embeddings->classes(), names), FolderOrder::kNone};
  }
  ClassNames read = ReadClassNames(session.folder);
  std::erase_if(read.names,
                [&](const ClassName& name) { return name.index >= session.config.classes; });
  return {ClassIndex(session.config.classes, read.names), read.order};
}

void AddTable(const std::filesystem::path& file, const std::vector<std::string>& listed,
              const ClassIndex& classes, OpenedTask& opened, LabelsByImage& accepted) {
  const Labels table = ReadLabels(file, classes);
  MatchedLabels matched = table.Match(listed);
  accepted = std::move(matched.accepted);
  opened.labels = fmt::format("the table {}", file.filename().string());
  if (const std::vector<std::string>& empty = matched.empty_rows; !empty.empty()) {
    opened.notes.push_back(fmt::format("{} {} of {} without an accepted class (the first: '{}').",
                                       empty.size(), empty.size() == 1 ? "row" : "rows",
                                       file.filename().string(), empty.front()));
  }
  const std::vector<std::string>& unused = matched.unused_rows;
  if (unused.empty()) return;
  opened.notes.push_back(
      fmt::format("{} {} of {} name{} no image that was given (the first: '{}').", unused.size(),
                  unused.size() == 1 ? "row" : "rows", file.filename().string(),
                  unused.size() == 1 ? "s" : "", unused.front()));
}

// Classes of the whole set that no image in `files` is of.
void NoteMissingClasses(const std::vector<ImageFile>& files, const FolderLabels& folders,
                        OpenedTask& opened) {
  std::set<int32_t> all, judged;
  for (const auto& [image, classes] : folders.accepted) all.insert(classes.begin(), classes.end());
  for (const ImageFile& file : files) {
    const auto found = folders.accepted.find(file.name);
    if (found != folders.accepted.end()) judged.insert(found->second.front());
  }
  std::vector<std::string> missing;
  size_t place = 0;
  for (const int32_t index : all) {
    if (!judged.contains(index)) missing.push_back("'" + folders.folder.at(place) + "'");
    ++place;
  }
  if (missing.empty()) return;
  opened.notes.push_back(
      fmt::format("no evaluation image is of {} of the {} classes that there are sub-folders of: "
                  "{}; top-1 is over the others.",
                  missing.size(), all.size(), FirstOf(missing)));
}

// A folder '1' that is the class called '1', where that is not the class of index 1.
void NoteNumbersThatAreNames(const FolderLabels& folders, int64_t classes, OpenedTask& opened) {
  std::map<int32_t, std::string> folder_of;
  for (const auto& [image, found] : folders.accepted) folder_of[found.front()];
  size_t place = 0;
  for (auto& [index, folder] : folder_of) {
    folder = folders.folder.at(place++);
    int64_t number = 0;
    if (!ParseClassNumber(folder, &number) || number >= classes || number == index) continue;
    opened.notes.push_back(fmt::format(
        "sub-folders are classes by name, not by index: '{}' is the class of that name, "
        "index {}.",
        folder, index));
    return;
  }
}

void AddFolders(const std::vector<ImageFile>& files, const std::vector<std::string>& listed,
                const TaskSettings& settings, const Classes& classes, OpenedTask& opened,
                LabelsByImage& accepted) {
  const std::string root = RootOf(files);
  FolderLabels folders = LabelsFromFolders(listed, classes.index, classes.order, root);
  if (folders.folders == FoldersAre::kNoClasses) {
    if (folders.text.empty()) return;
    if (settings.classes && settings.unknown_folders == UnknownFolders::kAreAnError) {
      Fail(
          "{}: {} (of {}: '{}', ...). Name the sub-folders as the classes, or give a table of "
          "labels.",
          root.empty() ? "the images" : root, folders.text, settings.classes->file,
          settings.classes->names.front());
    }
    opened.notes.push_back(fmt::format("no labels: {}.", folders.text));
    return;
  }
  opened.labels = folders.text;
  const bool guessed = folders.folders == FoldersAre::kOrdered ||
                       (folders.folders == FoldersAre::kNumbers && classes.index.named());
  if (guessed) opened.notes.push_back(folders.text + ".");
  if (folders.folders == FoldersAre::kNames) {
    NoteNumbersThatAreNames(folders, classes.index.classes(), opened);
  }
  NoteMissingClasses(files, folders, opened);
  accepted = std::move(folders.accepted);
}

void AddAccepted(const std::vector<ImageFile>& files, const TaskSettings& settings,
                 const Classes& classes, OpenedTask& opened) {
  const std::vector<std::string> listed =
      settings.listed.empty() ? NamesOf(files) : settings.listed;
  LabelsByImage accepted;
  if (settings.labels.empty()) {
    AddFolders(files, listed, settings, classes, opened, accepted);
  } else {
    AddTable(settings.labels, listed, classes.index, opened, accepted);
  }
  for (const ImageFile& file : files) {
    const auto found = accepted.find(file.name);
    if (found == accepted.end()) continue;
    opened.task.accepted[file.name].assign(found->second.begin(), found->second.end());
  }
  if (!settings.labels.empty() && opened.task.accepted.empty()) {
    Fail("{}: names none of the {} evaluation images (the first is '{}').",
         settings.labels.string(), files.size(), files.empty() ? "" : files.front().name);
  }
}

}  // namespace

std::optional<ClassEmbeddings> OpenClasses(const std::filesystem::path& file,
                                           const Session& session) {
  if (file.empty()) return std::nullopt;
  ClassEmbeddings classes = ReadClassEmbeddings(file);
  const Graph& graph = session.graph;
  const SlotId compared = graph.image_embeds != kNoSlot ? graph.image_embeds : graph.pooled;
  const bool none = compared == kNoSlot || session.config.pooled_unread;
  CheckEmbeddingWidth(classes, none ? 0 : graph.slot(compared).cols);
  return classes;
}

OpenedTask OpenTask(const Session& session, const std::vector<ImageFile>& files,
                    TaskSettings settings) {
  OpenedTask opened;
  const int64_t classes = session.config.classes;
  if (!settings.classes && classes < kMinClasses) {
    const char* why = classes == 0 ? "the model has no classifier"
                                   : "the model's head has one output, which ranks no classes";
    if (settings.labels.empty()) {
      if (classes > 0) opened.notes.push_back(fmt::format("{}: its features are judged.", why));
      return opened;
    }
    throw BadSetting(fmt::format(
        "{}: {}, so there are no answers to compare labels with. Give class embeddings, or leave "
        "the labels out.",
        settings.labels.string(), why));
  }
  try {
    AddAccepted(files, settings, ClassesOf(session, settings.classes), opened);
  } catch (const Error& error) {
    if (settings.unknown_folders == UnknownFolders::kAreAnError || !settings.labels.empty()) throw;
    opened.notes.push_back(fmt::format("no labels: {}", error.what()));
  }
  opened.task.classes = std::move(settings.classes);
  return opened;
}

}  // namespace w8a8
