// Several files of which none is put in place before all are written, and a record of all that
// were.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/temporary_paths.h"

namespace w8a8 {

// A file on its way to `target`: the destructor removes it unless it was put in place.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& path() const { return path_; }
  // Renames it over the target; throws Error if that fails.
  void PutInPlace();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;  // unique in this process and among the processes of this machine
  TemporaryPath listed_;
  bool in_place_ = false;
};

// Folders that were made for something: the destructor removes those that nothing came into.
class MadeFolders {
 public:
  MadeFolders() = default;
  MadeFolders(MadeFolders&&) noexcept = default;
  MadeFolders& operator=(MadeFolders&&) = delete;
  ~MadeFolders();

  void Add(std::filesystem::path folder) { folders_.push_back(std::move(folder)); }
  void Keep() { folders_.clear(); }
  void MoveTo(MadeFolders& other);

 private:
  std::vector<std::filesystem::path> folders_;  // parents first
};

// What AtomicFiles of this thread commit while a group lives waits for the group's Commit().
// Without it the destructor removes those files, and the folders of MakeGroupFolders() that nothing
// else came into. A group inside another hands all on to that one.
class FileGroup {
 public:
  FileGroup();
  FileGroup(const FileGroup&) = delete;
  FileGroup& operator=(const FileGroup&) = delete;
  ~FileGroup();

  // The innermost group of this thread; nullptr if there is none.
  static FileGroup* Current();

  void Add(std::unique_ptr<TemporaryFile> file);
  void Add(MadeFolders folders);
  // Commit() removes the file at `path`, if there is one, before it puts anything in place.
  void RemoveFirst(std::filesystem::path path);
  // Throws Error if a file cannot be removed or put in place.
  void Commit();

 private:
  FileGroup* const outer_;
  std::vector<std::filesystem::path> removed_;
  MadeFolders folders_;
  std::vector<std::unique_ptr<TemporaryFile>> files_;  // after the folders that they lie in
};

// Makes `folder` and its parents where they are missing; throws Error if that fails.
MadeFolders MakeFolders(const std::filesystem::path& folder);
// The same for what the group of this thread writes, which keeps the result; without a group the
// folders stay.
void MakeGroupFolders(const std::filesystem::path& folder);

// Every file that this process has put in place so far, in order.
std::vector<std::filesystem::path> WrittenFiles();

// Removes the temporary files that the process `id` left in `folder`, unless it is alive.
void RemoveTemporaryFilesOf(int id, const std::filesystem::path& folder);

// `name`, or where it is too long to be part of another file's name, its begin and its SHA-256's.
std::string ShortName(const std::string& name);

}  // namespace w8a8
