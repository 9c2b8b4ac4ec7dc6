#include "runtime/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Unique in this process and among the processes of this machine.
std::filesystem::path TemporaryBeside(const std::filesystem::path& target) {
  static std::atomic<int> count{0};
  return target.parent_path() /
         fmt::format(".{}.{}.{}.tmp", target.filename().string(), ::getpid(), count.fetch_add(1));
}

}  // namespace

void CheckOutputFile(const std::filesystem::path& target) {
  std::error_code ignored;
  const std::filesystem::path folder = target.parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored)) {
    Fail("{}: the folder {} does not exist. Create it or choose another output path.",
         target.string(), folder.string());
  }
  if (std::filesystem::is_directory(target, ignored)) {
    Fail("{}: is a folder; a file is to be written there.", target.string());
  }
  // A rename would replace a device such as /dev/null by a file.
  if (std::filesystem::exists(target, ignored) &&
      !std::filesystem::is_regular_file(target, ignored)) {
    Fail("{}: is a pipe, socket or device; only regular files are written.", target.string());
  }
}

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)), temporary_(TemporaryBeside(target_)) {
  CheckOutputFile(target_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  std::error_code ignored;
  if (!committed_) std::filesystem::remove(temporary_, ignored);
}

void AtomicFile::FailWriting(int error) const {
  Fail("{}: writing failed: {}. What was there before is unchanged.", target_.string(),
       std::strerror(error));
}

void AtomicFile::Append(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) {
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) FailWriting(errno);
  }
  while (!bytes.empty()) {
    // Linux writes at most 2 GiB - 4 KiB at once.
    const size_t piece = std::min(bytes.size(), size_t{1} << 30);
    const ssize_t written = ::write(descriptor_, bytes.data(), piece);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) FailWriting(errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::Commit() {
  // A library may have written and closed the file by its path.
  if (descriptor_ < 0) descriptor_ = ::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0 || ::fsync(descriptor_) != 0) FailWriting(errno);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0) FailWriting(errno);
  std::error_code error;
  std::filesystem::rename(temporary_, target_, error);
  if (error) Fail("{}: cannot be put in place: {}.", target_.string(), error.message());
  committed_ = true;
}

void WriteFileAtomically(const std::filesystem::path& target, std::string_view contents) {
  AtomicFile file(target);
  file.Append(std::as_bytes(std::span(contents)));
  file.Commit();
}

std::string ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    Fail("{}: is a folder, not a file.", path.string());
  }
  // Opening a pipe that nobody writes would wait for ever.
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    Fail("{}: is a pipe, socket or device; a regular file is needed.", path.string());
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("{}: cannot be opened for reading: {}.", path.string(), std::strerror(errno));
  std::string contents;
  std::string piece(size_t{1} << 16, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    contents.append(piece.data(), static_cast<size_t>(file.gcount()));
    if (contents.size() > max_bytes) {
      Fail("{}: holds more than {} bytes, too much for this kind of file.", path.string(),
           max_bytes);
    }
  }
  if (file.bad()) Fail("{}: reading failed part-way.", path.string());
  return contents;
}

}  // namespace w8a8
