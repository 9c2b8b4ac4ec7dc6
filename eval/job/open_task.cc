#include "eval/job/open_task.h"

#include <utility>

#include "datasets/labels.h"
#include "eval/job/session.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Of the class sub-folders, by the names of the classes.
Labels LabelsOfNamedFolders(const std::vector<ImageFile>& files, const TaskSettings& settings,
                            std::string& unknown_folder) {
  const ClassEmbeddings& classes = *settings.classes;
  NamedFolders named = LabelsFromNamedFolders(files, classes.names);
  if (named.unknown_folder.empty()) return std::move(named.labels);
  if (settings.unknown_folders == UnknownFolders::kAreAnError) {
    Fail(
        "{}: the images' sub-folder '{}' is none of its {} classes ('{}', ...). Name the "
        "sub-folders as the classes, or give a table of labels.",
        classes.file, named.unknown_folder, classes.classes(), classes.names.front());
  }
  unknown_folder = named.unknown_folder;
  return {};
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
  const int64_t head_classes = session.config.classes;
  const Labels labels = !settings.labels.empty() ? ReadLabels(settings.labels)
                        : settings.classes
                            ? LabelsOfNamedFolders(files, settings, opened.unknown_folder)
                            : LabelsFromFolders(files, head_classes);
  const int64_t classes = settings.classes ? settings.classes->classes() : head_classes;
  if (classes > 0) labels.CheckClasses(classes);
  AcceptedClasses& accepted = opened.task.accepted;
  for (const ImageFile& file : files) {
    const std::vector<int32_t>* found = labels.Find(file.name);
    if (found != nullptr) accepted[file.name].assign(found->begin(), found->end());
  }
  if (!settings.labels.empty() && accepted.empty()) {
    Fail("{}: names none of the {} evaluation images (the first is '{}').",
         settings.labels.string(), files.size(), files.empty() ? "" : files.front().name);
  }
  opened.task.classes = std::move(settings.classes);
  return opened;
}

}  // namespace w8a8
