#include "runtime/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/file_group.h"

namespace w8a8 {

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

AtomicFile::AtomicFile(std::filesystem::path target) {
  CheckOutputFile(target);
  file_ = std::make_unique<TemporaryFile>(std::move(target));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

const std::filesystem::path& AtomicFile::temporary() const { return file_->path(); }

void AtomicFile::FailWriting(int error) const {
  Fail("{}: writing failed: {}. What was there before is unchanged.", file_->target().string(),
       std::strerror(error));
}

void AtomicFile::Open() {
  if (descriptor_ >= 0) return;
  descriptor_ = ::open(temporary().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) FailWriting(errno);
}

void AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  Open();
  while (!bytes.empty()) {
    // Linux writes at most 2 GiB - 4 KiB at once.
    const size_t piece = std::min(bytes.size(), size_t{1} << 30);
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), piece, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) FailWriting(errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
    size_ = std::max(size_, offset);
  }
}

void AtomicFile::Append(std::span<const std::byte> bytes) { WriteAt(size_, bytes); }

void AtomicFile::Resize(uint64_t bytes) {
  Open();
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) FailWriting(errno);
  size_ = bytes;
}

void AtomicFile::ReadAt(uint64_t offset, std::span<std::byte> bytes) {
  Open();
  while (!bytes.empty()) {
    const ssize_t read =
        ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) {
      Fail("{}: cannot be read again: {}.", file_->target().string(), std::strerror(errno));
    }
    if (read == 0) break;
    bytes = bytes.subspan(static_cast<size_t>(read));
    offset += static_cast<uint64_t>(read);
  }
  std::ranges::fill(bytes, std::byte{0});
}

void AtomicFile::Commit() {
  W8A8_CHECK(file_ != nullptr);
  // A library may have written and closed the file by its path.
  if (descriptor_ < 0) descriptor_ = ::open(temporary().c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0 || ::fsync(descriptor_) != 0) FailWriting(errno);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0) FailWriting(errno);
  if (FileGroup* const group = FileGroup::Current()) {
    group->Add(std::move(file_));
  } else {
    file_->PutInPlace();
  }
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
