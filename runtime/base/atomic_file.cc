#include "runtime/base/atomic_file.h"

#include <unistd.h>

#include <fstream>
#include <system_error>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)),
      temporary_(target_.parent_path() /
                 fmt::format(".{}.{}.tmp", target_.filename().string(), ::getpid())) {
  std::error_code error;
  if (!target_.parent_path().empty() && !std::filesystem::is_directory(target_.parent_path())) {
    Fail("{}: the folder {} does not exist. Create it or choose another output path.",
         target_.string(), target_.parent_path().string());
  }
  if (std::filesystem::is_directory(target_, error)) {
    Fail("{}: is a folder; a file is to be written there.", target_.string());
  }
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove(temporary_, ignored);
}

void AtomicFile::Commit() {
  std::error_code error;
  std::filesystem::rename(temporary_, target_, error);
  if (error) Fail("{}: cannot be put in place: {}.", target_.string(), error.message());
  committed_ = true;
}

void WriteFileAtomically(const std::filesystem::path& target, std::string_view contents) {
  AtomicFile file(target);
  std::ofstream out(file.temporary(), std::ios::binary);
  out.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  out.close();
  if (!out)
    Fail("{}: writing failed (is the disk full or the folder read-only?).", target.string());
  file.Commit();
}

std::string ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    Fail("{}: is a folder, not a file.", path.string());
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("{}: cannot be opened for reading.", path.string());
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
