// Files that are either whole or absent: written under a temporary name, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace w8a8 {

// Throws Error if no file can be put at `target`: its folder does not exist, or it exists and is
// not a regular file (or a link to one). For before the work whose result is to be written there.
void CheckOutputFile(const std::filesystem::path& target);

class TemporaryFile;

// A temporary file beside `target`. Write it with the functions below, or with any library by its
// path, then Commit(). Without Commit() the destructor removes it and `target` keeps its old
// contents; a signal that interrupt.h catches removes it too. Throws Error where CheckOutputFile
// does.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const std::filesystem::path& temporary() const;
  // The first call creates the file. All throw Error with the system's reason (a full disk, say).
  void Append(std::span<const std::byte> bytes);
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  void Resize(uint64_t bytes);
  // Bytes past the end read as zeros.
  void ReadAt(uint64_t offset, std::span<std::byte> bytes);
  // Flushes to the disk and renames over the target, at once or, while a FileGroup lives, together
  // with the group's; throws Error when either fails.
  void Commit();

 private:
  void Open();
  [[noreturn]] void FailWriting(int error) const;

  std::unique_ptr<TemporaryFile> file_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

void WriteFileAtomically(const std::filesystem::path& target, std::string_view contents);

// The whole file; throws Error if it cannot be read or holds more than `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

}  // namespace w8a8
