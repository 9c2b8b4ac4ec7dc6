#include "runtime/base/mapped_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

[[noreturn]] void FailToOpen(const std::string& file) {
  const int error = errno;
  struct stat link {};
  if (error == ENOENT && ::lstat(file.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    Fail("{}: is a symbolic link to a file that does not exist.", file);
  }
  Fail("{}: cannot be opened: {}.", file, std::strerror(error));
}

// What stands in the way of mapping `info`'s file; empty if nothing does.
std::string_view NotMappable(const struct stat& info) {
  if (S_ISDIR(info.st_mode)) return "is a folder, not a file";
  if (!S_ISREG(info.st_mode)) return "is a pipe, socket or device; a regular file is needed";
  if (info.st_size == 0) return "is empty (0 bytes); fetch or make it again";
  return {};
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const std::string file = path.string();
  // O_NONBLOCK: opening a pipe without a writer must not wait for one.
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) FailToOpen(file);
  struct stat info {};
  const bool known = ::fstat(descriptor, &info) == 0;
  const std::string_view obstacle = known ? NotMappable(info) : "cannot be examined";
  const auto size = static_cast<size_t>(info.st_size);
  void* const address =
      obstacle.empty() ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0) : nullptr;
  const int error = errno;
  ::close(descriptor);
  if (!obstacle.empty()) Fail("{}: {}.", file, obstacle);
  if (address == MAP_FAILED) {
    Fail("{}: cannot be mapped into memory ({} bytes): {}.", file, size, std::strerror(error));
  }
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

}  // namespace w8a8
