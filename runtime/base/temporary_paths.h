// The paths of files that must not outlive the process, for the case that a signal ends it: then no
// destructor runs.
#pragma once

#include <atomic>
#include <filesystem>

namespace w8a8 {

// Lists `path` while it lives; makes and removes nothing itself.
class TemporaryPath {
 public:
  explicit TemporaryPath(const std::filesystem::path& path);
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;
  ~TemporaryPath();

 private:
  std::atomic<char*>* slot_;
};

// Removes every file that is listed. Async-signal-safe: for a handler whose process then ends.
void RemoveTemporaryFiles() noexcept;

}  // namespace w8a8
