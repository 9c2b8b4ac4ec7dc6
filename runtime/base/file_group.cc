#include "runtime/base/file_group.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <random>
#include <regex>
#include <string>
#include <system_error>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

thread_local FileGroup* current_group = nullptr;

struct Record {
  std::mutex mutex;
  std::vector<fs::path> files;
};

Record& RecordOfFiles() {
  static Record record;
  return record;
}

fs::path TemporaryBeside(const fs::path& target) {
  // Random: a process of another container may have the same id.
  static std::atomic<uint32_t> count{std::random_device{}()};
  return target.parent_path() / fmt::format(".{}.{}.{:08x}.tmp",
                                            ShortName(target.filename().string()), ::getpid(),
                                            count.fetch_add(1));
}

}  // namespace

std::string ShortName(const std::string& name) {
  constexpr size_t kLongest = 180, kBegin = 160;  // file systems allow 255 bytes
  if (name.size() <= kLongest) return name;
  return name.substr(0, kBegin) + "-" + Sha256Hex(name).substr(0, 16);
}

void RemoveTemporaryFilesOf(int id, const fs::path& folder) {
  if (::kill(id, 0) == 0 || errno != ESRCH) return;
  const std::regex name(fmt::format(R"(\..*\.{}\.[0-9a-f]{{8}}\.tmp)", id));
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (std::regex_match(at->path().filename().string(), name)) fs::remove(at->path(), ignored);
  }
}

TemporaryFile::TemporaryFile(fs::path target)
    : target_(std::move(target)), path_(TemporaryBeside(target_)), listed_(path_) {}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  if (!in_place_) fs::remove(path_, ignored);
}

void TemporaryFile::PutInPlace() {
  std::error_code error;
  fs::rename(path_, target_, error);
  if (error) Fail("{}: cannot be put in place: {}.", target_.string(), error.message());
  in_place_ = true;
  Record& record = RecordOfFiles();
  const std::lock_guard lock(record.mutex);
  record.files.push_back(target_);
}

std::vector<fs::path> WrittenFiles() {
  Record& record = RecordOfFiles();
  const std::lock_guard lock(record.mutex);
  return record.files;
}

MadeFolders::~MadeFolders() {
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    ::rmdir(folder->c_str());  // fails where something is in it
  }
}

void MadeFolders::MoveTo(MadeFolders& other) {
  for (fs::path& folder : std::exchange(folders_, {})) other.Add(std::move(folder));
}

MadeFolders MakeFolders(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path at = folder; !at.empty() && !fs::exists(at, error); at = at.parent_path()) {
    if (at.has_filename()) missing.push_back(at);  // "a/b/" is "a/b" and an empty name
  }
  MadeFolders made;
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    const bool is_new = fs::create_directory(*at, error);
    if (error) Fail("{}: the folder cannot be made: {}.", at->string(), error.message());
    if (is_new) made.Add(*at);
  }
  return made;
}

void MakeGroupFolders(const fs::path& folder) {
  MadeFolders made = MakeFolders(folder);
  if (current_group != nullptr) {
    current_group->Add(std::move(made));
  } else {
    made.Keep();
  }
}

FileGroup::FileGroup() : outer_(std::exchange(current_group, this)) {}

FileGroup::~FileGroup() { current_group = outer_; }

FileGroup* FileGroup::Current() { return current_group; }

void FileGroup::Add(std::unique_ptr<TemporaryFile> file) { files_.push_back(std::move(file)); }

void FileGroup::Add(MadeFolders folders) { folders.MoveTo(folders_); }

void FileGroup::RemoveFirst(fs::path path) { removed_.push_back(std::move(path)); }

void FileGroup::Commit() {
  if (outer_ != nullptr) {
    folders_.MoveTo(outer_->folders_);
    for (fs::path& path : removed_) outer_->RemoveFirst(std::move(path));
    for (auto& file : files_) outer_->Add(std::move(file));
  } else {
    for (const fs::path& path : removed_) {
      std::error_code error;
      fs::remove(path, error);
      if (error) Fail("{}: cannot be removed: {}.", path.string(), error.message());
    }
    for (const auto& file : files_) file->PutInPlace();
    folders_.Keep();
  }
  removed_.clear();
  files_.clear();
}

}  // namespace w8a8
