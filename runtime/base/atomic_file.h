// Files that are either whole or absent: written under a temporary name, then renamed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace w8a8 {

// A temporary path beside `target`. Write it with any library, then Commit(). Without Commit() the
// destructor removes it and `target` keeps its old contents.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const std::filesystem::path& temporary() const { return temporary_; }
  // Renames over the target; throws Error when that fails.
  void Commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

void WriteFileAtomically(const std::filesystem::path& target, std::string_view contents);

// The whole file; throws Error if it cannot be read or holds more than `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

}  // namespace w8a8
