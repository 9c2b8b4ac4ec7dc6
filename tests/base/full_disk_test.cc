// A disk that fills up after any number of bytes, for every writer.
#include <functional>

#include <gtest/gtest.h>

#include "runtime/base/atomic_file.h"
#include "runtime/base/file_group.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/safetensors.h"
#include "tests/base/file_size_limit.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

size_t FilesIn(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

// Groups, attributes, texts and data sets, some larger than what the library keeps in memory.
void WriteHdf5(const fs::path& path) {
  Hdf5OutputFile file(path);
  file.Attribute("/", "version", uint64_t{1});
  const std::vector<std::string> names = {"a.jpg", "b.jpg"};
  file.WriteStrings("/images/name", names);
  for (int i = 0; i < 12; ++i) {
    const std::string group = "/sites/" + std::to_string(i);
    file.Write(group + "/counts", std::vector<uint64_t>(400, 7));
    file.Write(group + "/absmax", std::vector<float>(3));
    file.Attribute(group, "granularity", "per-token");
  }
  file.Commit();
}

void WriteTensors(const fs::path& path) {
  const std::vector<float> values(2000);
  SafetensorsWriter writer;
  writer.Add<float>("w", Dtype::kF32, {2000}, values);
  writer.SetMetadata("format", "pt");
  writer.Write(path);
}

void WriteText(const fs::path& path) { WriteFileAtomically(path, std::string(3000, 'x')); }

struct Writer {
  const char* name;
  std::function<void(const fs::path& path)> write;
};

class FullDisk : public testing::TestWithParam<Writer> {};

TEST_P(FullDisk, IsAnErrorThatNamesTheFileAndLeavesNothing) {
  const fs::path folder = test::ScratchFolder("full_disk");
  GetParam().write(folder / "whole");
  const std::string whole = ReadFile(folder / "whole");
  fs::remove(folder / "whole");
  const size_t step = std::max<size_t>(whole.size() / 300, 1);
  for (size_t bytes = 0; bytes < whole.size(); bytes += step) {
    std::string message;
    {
      const test::FileSizeLimit limit(bytes);
      message = test::ErrorOf([&] { GetParam().write(folder / "file"); });
    }
    EXPECT_TRUE(test::Contains(message, (folder / "file: writing failed: File too large").string()))
        << bytes << " bytes: " << message;
    EXPECT_EQ(FilesIn(folder), 0u) << bytes << " bytes";
  }
  const test::FileSizeLimit limit(whole.size());
  GetParam().write(folder / "file");
  EXPECT_EQ(ReadFile(folder / "file"), whole);
}

INSTANTIATE_TEST_SUITE_P(EveryWriter, FullDisk,
                         testing::Values(Writer{"Hdf5", WriteHdf5},
                                         Writer{"Safetensors", WriteTensors},
                                         Writer{"Text", WriteText}),
                         [](const auto& writer) { return std::string(writer.param.name); });

TEST(FileGroup, PutsAllInPlaceOrNothing) {
  const fs::path folder = test::ScratchFolder("group");
  WriteFileAtomically(folder / "old", "old");
  {
    FileGroup files;
    MakeGroupFolders(folder / "new/deep");
    WriteFileAtomically(folder / "old", "new");
    WriteFileAtomically(folder / "new/deep/file", "new");
    files.RemoveFirst(folder / "old");
    EXPECT_EQ(ReadFile(folder / "old"), "old");
  }
  EXPECT_EQ(ReadFile(folder / "old"), "old");
  EXPECT_EQ(FilesIn(folder), 1u);
  FileGroup files;
  MakeGroupFolders(folder / "new/deep");
  WriteFileAtomically(folder / "new/deep/file", "new");
  files.RemoveFirst(folder / "old");
  files.Commit();
  EXPECT_EQ(ReadFile(folder / "new/deep/file"), "new");
  EXPECT_FALSE(fs::exists(folder / "old"));
}

TEST(FileGroup, InsideAnotherWaitsForThatOne) {
  const fs::path folder = test::ScratchFolder("group");
  FileGroup outer;
  {
    FileGroup inner;
    MakeGroupFolders(folder / "part");
    WriteFileAtomically(folder / "part/file", "inner");
    inner.Commit();
  }
  EXPECT_FALSE(fs::exists(folder / "part/file"));
  outer.Commit();
  EXPECT_EQ(ReadFile(folder / "part/file"), "inner");
}

TEST(FileGroup, TellsWhatWasWritten) {
  const fs::path folder = test::ScratchFolder("group");
  FileGroup files;
  WriteFileAtomically(folder / "file", "");
  EXPECT_TRUE(WrittenFiles().empty() || WrittenFiles().back() != folder / "file");
  files.Commit();
  EXPECT_EQ(WrittenFiles().back(), folder / "file");
}

TEST(AtomicFile, TakesNamesAsLongAsTheFileSystemDoes) {
  const fs::path folder = test::ScratchFolder("long");
  WriteFileAtomically(folder / std::string(255, 'n'), "long");
  EXPECT_EQ(ReadFile(folder / std::string(255, 'n')), "long");
  const std::string message =
      test::ErrorOf([&] { WriteFileAtomically(folder / std::string(256, 'n'), ""); });
  EXPECT_TRUE(test::Contains(message, "File name too long")) << message;
  EXPECT_EQ(FilesIn(folder), 1u);
}

}  // namespace
}  // namespace w8a8
