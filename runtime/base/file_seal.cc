#include "runtime/base/file_seal.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

constexpr std::string_view kMark = "w8a8-sha256:";
constexpr size_t kSealBytes = kMark.size() + 64;

// The bytes of a file, mapped read-only; statistics can be larger than what should be copied.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status = {};
    if (file >= 0 && ::fstat(file, &status) == 0 && status.st_size > 0) {
      void* const start =
          ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
      if (start != MAP_FAILED) {
        bytes_ = {static_cast<const std::byte*>(start), static_cast<size_t>(status.st_size)};
      }
    }
    if (file >= 0) ::close(file);
    if (bytes_.empty()) Fail("{}: cannot be read, or is empty.", path.string());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace

void AppendSeal(const std::filesystem::path& path) {
  const std::string digest = Sha256HexOfFile(path);
  std::ofstream out(path, std::ios::binary | std::ios::app);
  out << kMark << digest;
  out.close();
  if (!out) Fail("{}: writing failed; is the disk full?", path.string());
}

bool SealFits(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() <= kSealBytes) return true;
  const std::string_view seal(
      reinterpret_cast<const char*>(bytes.data() + bytes.size() - kSealBytes), kSealBytes);
  if (!seal.starts_with(kMark)) return true;
  return seal.substr(kMark.size()) == Sha256Hex(bytes.first(bytes.size() - kSealBytes));
}

}  // namespace w8a8
