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

// What class sub-folders mean that do not fit the classes.
enum class UnknownFolders { kAreAnError, kMeanNoLabels };

struct TaskSettings {
  std::filesystem::path labels = {};            // TSV; empty: class sub-folders are the labels
  std::optional<ClassEmbeddings> classes = {};  // by whose names the sub-folders are matched
  UnknownFolders unknown_folders = UnknownFolders::kAreAnError;
  // The names of the whole set that `files` were taken from, read or not: its sub-folders are the
  // classes. Empty: those of `files`.
  std::vector<std::string> listed = {};
};

struct OpenedTask {
  Task task;
  std::string labels;              // where they come from, a clause; empty: there are none
  std::vector<std::string> notes;  // what a reader of the figures must know, sentences
};

// Accepted classes of `files`: by the table, else by sub-folders (LabelsFromFolders). Throws Error
// where they do not fit the classes. Without classes there is no task, and a table is an error.
OpenedTask OpenTask(const Session& session, const std::vector<ImageFile>& files,
                    TaskSettings settings);

}  // namespace w8a8
