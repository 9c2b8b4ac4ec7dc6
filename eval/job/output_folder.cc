#include "eval/job/output_folder.h"

#include <algorithm>
#include <cctype>
#include <system_error>
#include <utility>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = ".w8a8-calib";
constexpr const char* kMarkerLine = "written by w8a8-calib\n";

bool IsOurs(const fs::path& folder) { return fs::exists(folder / kMarker); }

// A run that writes `folder` writes what lies in it, too.
void CheckFolderAroundIsFree(const fs::path& place) {
  const fs::path around = fs::absolute(place).lexically_normal().parent_path();
  if (IsOurs(around)) WriteLock::CheckFree(around);
}

// "a/b/" names the folder "a/b".
fs::path WithoutSlash(const fs::path& folder) {
  return folder.has_filename() ? folder : folder.parent_path();
}

}  // namespace

OutputFile::OutputFile(const fs::path& target) {
  CheckOutputFile(target);
  CheckFolderAroundIsFree(target);
  lock_.emplace(target, WriteLock::Kind::kFile);
}

LockedFolder::LockedFolder(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  if (fs::exists(folder_, error) && !fs::is_directory(folder_, error)) {
    Fail("{}: is a file; a folder is needed.", folder_.string());
  }
  CheckFolderAroundIsFree(WithoutSlash(folder_));
  MakeFolders(folder_).MoveTo(made_);
  lock_.emplace(folder_, WriteLock::Kind::kFolder);
}

OutputFolder::OutputFolder(fs::path folder) : folder_(std::move(folder)) {
  was_ours_ = IsOurs(path());
  if (was_ours_) return;
  if (!HoldsNothing(path())) {
    Fail(
        "{}: is not empty and was not written by w8a8-calib. Name a new folder, or empty "
        "this one yourself.",
        path().string());
  }
  WriteFileAtomically(path() / kMarker, kMarkerLine);
}

OutputFolder::~OutputFolder() {
  std::error_code error;
  if (was_ours_) return;
  const fs::directory_iterator entries(path(), error);
  const bool nothing = std::all_of(begin(entries), end(entries), [](const auto& entry) {
    const fs::path name = entry.path().filename();
    return name == kMarker || name == WriteLock::kFolderLockName;
  });
  if (nothing) fs::remove(path() / kMarker, error);
}

bool IsMarker(const fs::path& file) { return file.filename() == kMarker; }

std::string ReadMarker(const fs::path& folder) {
  return IsOurs(folder) ? ReadFile(folder / kMarker) : "";
}

void WriteMarker(const fs::path& folder, const std::string& lines) {
  WriteFileAtomically(folder / kMarker, kMarkerLine + lines);
}

fs::path DefaultOutputFolder(const std::string& model_name) {
  std::string name;
  for (const char c : model_name) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
    name += plain ? c : '_';
  }
  return fs::path("w8a8-" + name);
}

}  // namespace w8a8
