// The places that a run writes to: a folder that is ours, or fresh, or refused; a single file. One
// run at a time writes to each.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "runtime/base/file_group.h"
#include "runtime/base/file_lock.h"

namespace w8a8 {

// The right to write a file, for as long as it lives. Throws Error if none can be written there, or
// if another run is writing it or the folder of ours that it is to lie in.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& target);

 private:
  std::optional<WriteLock> lock_;
};

// The right to write into a folder, which is made with its parents. Throws Error if another run is
// writing there. The destructor removes the folders that were made if nothing was written.
class LockedFolder {
 public:
  explicit LockedFolder(std::filesystem::path folder);

  const std::filesystem::path& path() const { return folder_; }

 private:
  std::filesystem::path folder_;
  MadeFolders made_;  // before the lock, whose file lies in them
  std::optional<WriteLock> lock_;
};

// A LockedFolder that carries our marker file. One that is not empty and does not carry it was not
// written by this tool and is refused: nothing in it is touched. The destructor takes the marker
// away again if nothing else was written.
class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path folder);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  LockedFolder folder_;
  bool was_ours_ = false;
};

// "./w8a8-<name>" with everything but letters, digits, '.', '-' and '_' replaced.
std::filesystem::path DefaultOutputFolder(const std::string& model_name);

// Whether `file` is a folder's marker, which is nobody's result.
bool IsMarker(const std::filesystem::path& file);
// The marker file's text; empty if there is none. WriteMarker() keeps its first line, which makes
// the folder ours, and puts `lines` under it.
std::string ReadMarker(const std::filesystem::path& folder);
void WriteMarker(const std::filesystem::path& folder, const std::string& lines);

}  // namespace w8a8
