// Files that are either whole or absent: written under a temporary name, then renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace w8a8 {

// Throws Error if no file can be put at `target`: its folder does not exist, or it exists and is
// not a regular file (or a link to one). For before the work whose result is to be written there.
void CheckOutputFile(const std::filesystem::path& target);

// A temporary path beside `target`. Write it with Append() or with any library, then Commit().
// Without Commit() the destructor removes it and `target` keeps its old contents. Throws Error
// where CheckOutputFile does.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const std::filesystem::path& temporary() const { return temporary_; }
  // Creates the temporary file at the first call and adds to its end; throws Error with the
  // system's reason (a full disk, say).
  void Append(std::span<const std::byte> bytes);
  // Flushes to the disk and renames over the target; throws Error when either fails.
  void Commit();

 private:
  [[noreturn]] void FailWriting(int error) const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

void WriteFileAtomically(const std::filesystem::path& target, std::string_view contents);

// The whole file; throws Error if it cannot be read or holds more than `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

}  // namespace w8a8
