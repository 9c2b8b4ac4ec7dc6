// One writer at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "runtime/base/temporary_paths.h"

namespace w8a8 {

// An exclusive lock that the system drops with the process that holds it, however that ends
// (flock(2)). While it is held a lock file says by whom; one whose holder was killed is taken over,
// and the temporary files that the killed process left in the folder are removed. Over NFS it needs
// the server's lock service, as every lock does there; a file system that has no locks is worked on
// without one, which a warning on stderr says.
class WriteLock {
 public:
  enum class Kind {
    kFile,    // what is written to the file `target`: the lock file lies beside it
    kFolder,  // what is written into the folder `target`, which exists: the lock file lies in it
  };
  // Throws Error if another process, or another lock of this one, holds it: `target` and who.
  WriteLock(const std::filesystem::path& target, Kind kind);
  // The name of a folder's lock file.
  static constexpr const char* kFolderLockName = ".w8a8-calib.lock";

  // Throws Error if somebody holds the folder's lock.
  static void CheckFree(const std::filesystem::path& folder);

  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;
  ~WriteLock();

 private:
  void Open(const std::filesystem::path& target);

  std::filesystem::path lock_file_;
  int descriptor_ = -1;
  bool locked_ = false;  // false: the file system has no locks
  std::optional<TemporaryPath> listed_;
};

// Whether nothing lies in `folder` but a lock file.
bool HoldsNothing(const std::filesystem::path& folder);

}  // namespace w8a8
