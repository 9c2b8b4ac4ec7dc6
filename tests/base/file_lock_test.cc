#include "runtime/base/file_lock.h"

#include <unistd.h>

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "runtime/base/atomic_file.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using Kind = WriteLock::Kind;

size_t FilesIn(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(WriteLock, TheSecondIsToldWhoHoldsIt) {
  const fs::path folder = test::ScratchFolder("lock");
  {
    const WriteLock first(folder, Kind::kFolder);
    const std::string message = test::ErrorOf([&] { WriteLock second(folder, Kind::kFolder); });
    const std::string holder = fmt::format("is being written by process {} on ", ::getpid());
    EXPECT_TRUE(test::Contains(message, holder)) << message;
    EXPECT_TRUE(test::Contains(message, " UTC. Wait for its end")) << message;
    EXPECT_TRUE(test::Contains(test::ErrorOf([&] { WriteLock::CheckFree(folder); }), holder));
    EXPECT_TRUE(HoldsNothing(folder));
    const WriteLock of_a_file_in_it(folder / "stats.h5", Kind::kFile);
    EXPECT_FALSE(HoldsNothing(folder));
  }
  EXPECT_EQ(FilesIn(folder), 0u);
  WriteLock::CheckFree(folder);
  const WriteLock again(folder, Kind::kFolder);
}

TEST(WriteLock, IsTakenOverFromADeadHolder) {
  const fs::path folder = test::ScratchFolder("lock");
  fs::create_directory(folder / "below");
  const pid_t child = ::fork();
  if (child == 0) {
    new WriteLock(folder, Kind::kFolder);  // as after a SIGKILL, no destructor runs
    (new AtomicFile(folder / "below/file"))->Append({});
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_EQ(FilesIn(folder), 2u);
  ASSERT_EQ(FilesIn(folder / "below"), 1u);
  WriteLock::CheckFree(folder);
  { const WriteLock taken(folder, Kind::kFolder); }
  EXPECT_EQ(FilesIn(folder), 1u);
  EXPECT_EQ(FilesIn(folder / "below"), 0u);
}

TEST(WriteLock, OfFilesWithLongNamesDiffer) {
  const fs::path folder = test::ScratchFolder("lock");
  const WriteLock one(folder / (std::string(254, 'n') + "1"), Kind::kFile);
  const WriteLock other(folder / (std::string(254, 'n') + "2"), Kind::kFile);
  EXPECT_EQ(FilesIn(folder), 2u);
}

}  // namespace
}  // namespace w8a8
