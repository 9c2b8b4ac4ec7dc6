#include "runtime/base/atomic_file.h"

#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "tests/base/file_size_limit.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

size_t FilesIn(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(AtomicFile, ReplacesTheTargetOnCommit) {
  const fs::path folder = test::ScratchFolder("atomic");
  WriteFileAtomically(folder / "file", "old");
  WriteFileAtomically(folder / "file", "new");
  EXPECT_EQ(ReadFile(folder / "file"), "new");
  EXPECT_EQ(FilesIn(folder), 1u);
}

TEST(AtomicFile, LeavesTheTargetAloneWithoutCommit) {
  const fs::path folder = test::ScratchFolder("atomic");
  WriteFileAtomically(folder / "file", "old");
  try {
    AtomicFile file(folder / "file");
    std::ofstream(file.temporary()) << "half of the n";
    throw std::runtime_error("interrupted");
  } catch (const std::runtime_error&) {
    EXPECT_EQ(ReadFile(folder / "file"), "old");
    EXPECT_EQ(FilesIn(folder), 1u);
  }
}

TEST(AtomicFile, TakesWhatALibraryWroteByPath) {
  const fs::path folder = test::ScratchFolder("atomic");
  AtomicFile file(folder / "file");
  std::ofstream(file.temporary()) << "by a library";
  file.Commit();
  EXPECT_EQ(ReadFile(folder / "file"), "by a library");
}

TEST(AtomicFile, TwoForOneTargetDoNotMeet) {
  const fs::path folder = test::ScratchFolder("atomic");
  AtomicFile first(folder / "file");
  AtomicFile second(folder / "file");
  EXPECT_NE(first.temporary(), second.temporary());
}

TEST(AtomicFile, AFullDiskIsAnErrorAndKeepsTheOldFile) {
  const fs::path folder = test::ScratchFolder("atomic");
  WriteFileAtomically(folder / "file", "old");
  const std::string contents(100'000, 'x');
  {
    const test::FileSizeLimit limit(50'000);
    const std::string message =
        test::ErrorOf([&] { WriteFileAtomically(folder / "file", contents); });
    EXPECT_TRUE(test::Contains(message, "writing failed: File too large")) << message;
  }
  EXPECT_EQ(ReadFile(folder / "file"), "old");
  EXPECT_EQ(FilesIn(folder), 1u);
}

TEST(AtomicFile, RefusesTargetsThatCannotBeReplaced) {
  const fs::path folder = test::ScratchFolder("atomic");
  fs::create_directory(folder / "sub");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { AtomicFile f(folder / "sub"); }), "is a folder"));
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { AtomicFile f(folder / "pipe"); }), "is a pipe"));
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { AtomicFile f("/dev/null"); }), "device"));
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { AtomicFile f(folder / "none/file"); }),
                             "none does not exist. Create it"));
}

TEST(ReadFile, IsBoundedAndSaysWhatIsWrong) {
  const fs::path folder = test::ScratchFolder("read");
  WriteFileAtomically(folder / "file", std::string(200'000, 'x'));
  EXPECT_EQ(ReadFile(folder / "file", 200'000).size(), 200'000u);
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { ReadFile(folder / "file", 199'999); }),
                             "holds more than 199999 bytes"));
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { ReadFile(folder); }), "is a folder"));
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { ReadFile(folder / "missing"); }),
                             "No such file or directory"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(test::Contains(test::ErrorOf([&] { ReadFile(folder / "pipe"); }), "is a pipe"));
}

}  // namespace
}  // namespace w8a8
