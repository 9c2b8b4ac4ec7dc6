// The task of the evaluation images, from the files and folders that describe it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "datasets/image_set.h"
#include "eval/measure/task.h"

namespace w8a8 {

struct Session;

// The embeddings in `file`, which must be as wide as the session's image embedding (a pooled output
// that is not projected is one); none without a file.
std::optional<ClassEmbeddings> OpenClasses(const std::filesystem::path& file,
                                           const Session& session);

// What a class sub-folder means that is none of the classes.
enum class UnknownFolders { kAreAnError, kMeanNoLabels };

struct TaskSettings {
  std::filesystem::path labels = {};            // TSV; empty: class sub-folders are the labels
  std::optional<ClassEmbeddings> classes = {};  // by whose names the sub-folders are matched
  UnknownFolders unknown_folders = UnknownFolders::kAreAnError;
};

struct OpenedTask {
  Task task;
  std::string unknown_folder;  // the first one, where that means that there are no labels
};

// Accepted classes of `files`: by the table, else by sub-folders, by name where there are classes,
// else as LabelsFromFolders() numbers them. Throws Error where they do not fit the classes.
OpenedTask OpenTask(const Session& session, const std::vector<ImageFile>& files,
                    TaskSettings settings);

}  // namespace w8a8
