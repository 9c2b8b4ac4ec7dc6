#include "runtime/base/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>

#include <fmt/chrono.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

std::string Host() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) return "(unknown)";
  return host.data();
}

// What the lock file says while this process holds it.
std::string ThisProcess() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("process {} on {} since {:%Y-%m-%d %H:%M:%S} UTC\n", ::getpid(), Host(),
                     fmt::gmtime(now));
}

std::string HolderIn(int descriptor) {
  std::array<char, 512> text{};
  const ssize_t read = ::pread(descriptor, text.data(), text.size(), 0);
  const std::string holder(text.data(), read > 0 ? static_cast<size_t>(read) : 0);
  // Between its lock and its line a process has not said who it is.
  return holder.empty() ? "another process" : holder.substr(0, holder.find('\n'));
}

// The id in what ThisProcess() wrote here; an id of another machine or container says nothing.
std::optional<int> ProcessIn(std::string_view holder) {
  constexpr std::string_view kBegin = "process ";
  if (!holder.starts_with(kBegin) || holder.find(" on " + Host() + " since ") == holder.npos) {
    return std::nullopt;
  }
  int id = 0;
  const char* const digits = holder.data() + kBegin.size();
  const auto parsed = std::from_chars(digits, holder.data() + holder.size(), id);
  return parsed.ec == std::errc() ? std::optional(id) : std::nullopt;
}

// In the folder of the lock, and in those below where the whole folder was its own.
void RemoveWhatItLeft(int killed, const fs::path& folder, WriteLock::Kind kind) {
  RemoveTemporaryFilesOf(killed, folder.empty() ? "." : folder);
  if (kind == WriteLock::Kind::kFile) return;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) RemoveTemporaryFilesOf(killed, at->path());
  }
}

// Its last holder removes a lock file, so that the one that was opened may be gone by now.
bool StillThere(int descriptor, const fs::path& path) {
  struct stat opened {
  }, there{};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &there) == 0 &&
         opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

fs::path LockBeside(const fs::path& file) {
  return file.parent_path() / fmt::format(".{}.lock", ShortName(file.filename().string()));
}

enum class Outcome { kLocked, kHeld, kNoLocks };

Outcome Lock(int descriptor, int mode) {
  while (::flock(descriptor, mode | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? Outcome::kHeld : Outcome::kNoLocks;
  }
  return Outcome::kLocked;
}

// CheckFree() of another process holds a lock for an instant.
Outcome LockAlone(int descriptor) {
  constexpr int kTries = 5;
  for (int again = 1; again < kTries; ++again) {
    const Outcome outcome = Lock(descriptor, LOCK_EX);
    if (outcome != Outcome::kHeld) return outcome;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Lock(descriptor, LOCK_EX);
}

[[noreturn]] void FailHeld(const fs::path& target, const std::string& holder) {
  Fail("{}: is being written by {}. Wait for its end, or write somewhere else.", target.string(),
       holder);
}

}  // namespace

bool HoldsNothing(const fs::path& folder) {
  const fs::directory_iterator entries(folder);
  return std::all_of(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return entry.path().filename() == WriteLock::kFolderLockName;
  });
}

void WriteLock::CheckFree(const fs::path& folder) {
  const int descriptor =
      ::open((folder / kFolderLockName).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return;
  const Outcome outcome = Lock(descriptor, LOCK_SH);
  const std::string holder = HolderIn(descriptor);
  ::close(descriptor);
  if (outcome == Outcome::kHeld) FailHeld(folder, holder);
}

WriteLock::WriteLock(const fs::path& target, Kind kind)
    : lock_file_(kind == Kind::kFolder ? target / kFolderLockName : LockBeside(target)) {
  Open(target);
  listed_.emplace(lock_file_);
  if (const auto killed = locked_ ? ProcessIn(HolderIn(descriptor_)) : std::nullopt) {
    RemoveWhatItLeft(*killed, lock_file_.parent_path(), kind);
  }
  // The line is for people: a disk too full for it fails the run soon enough.
  const std::string holder = ThisProcess();
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, holder.data(), holder.size(), 0) < 0) {
    (void)::ftruncate(descriptor_, 0);
  }
}

// Opens the lock file and locks it, or throws.
void WriteLock::Open(const fs::path& target) {
  do {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ =
        ::open(lock_file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0666);
    if (descriptor_ < 0) {
      Fail("{}: cannot be written: its lock file {} cannot be opened: {}.", target.string(),
           lock_file_.string(), std::strerror(errno));
    }
    const Outcome outcome = LockAlone(descriptor_);
    if (outcome == Outcome::kHeld) {
      const std::string holder = HolderIn(descriptor_);
      ::close(descriptor_);
      FailHeld(target, holder);
    }
    locked_ = outcome == Outcome::kLocked;
    if (!locked_) {
      Tell("warning: {}: cannot be locked ({}); let no other run write there meanwhile.\n",
           target.string(), std::strerror(errno));
    }
  } while (!StillThere(descriptor_, lock_file_));
}

WriteLock::~WriteLock() {
  listed_.reset();               // a signal must not remove the next one's
  ::unlink(lock_file_.c_str());  // while it is held: nobody else has locked this file
  ::close(descriptor_);
}

}  // namespace w8a8
