// A whole file in memory without a copy.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace w8a8 {

// A read-only private mapping of a whole regular file that is not empty; throws Error otherwise. A
// file that is cut short while it is mapped raises SIGBUS, as with every mapping; writers here
// replace files and never truncate them.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace w8a8
