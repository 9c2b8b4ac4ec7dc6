#include "datasets/image_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Names(const std::vector<ImageFile>& files) {
  std::vector<std::string> names;
  for (const ImageFile& file : files) names.push_back(file.name);
  return names;
}

std::string MessageOf(const fs::path& path) {
  try {
    ListImages(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

fs::path MixedFolder() {
  const fs::path folder = ScratchFolder("image_set");
  for (const char* name : {"b.png", "a/z.jpg", "a.png", "B.png", "a/deep/er/1.jpg"}) {
    WriteText(folder / name, name);
  }
  WriteText(folder / "labels.tsv", "file\tx\ty\n");
  WriteText(folder / "README", "");
  WriteImage(folder / "signed.png", HashImage(2, 2, 1));
  fs::rename(folder / "signed.png", folder / "no_extension");
  return folder;
}

TEST(ListImages, TakesAFolderSortedByBytesAndIgnoresOtherFiles) {
  const ImageSet set = ListImages(MixedFolder());
  // '.' is 0x2e and '/' is 0x2f, so a.png comes before a/...
  EXPECT_EQ(Names(set.files), (std::vector<std::string>{"B.png", "a.png", "a/deep/er/1.jpg",
                                                        "a/z.jpg", "b.png", "no_extension"}));
  EXPECT_TRUE(set.unreadable.empty());
  EXPECT_EQ(set.files[0].sha256, Sha256Hex("B.png"));
}

TEST(ListImages, FollowsLinksAndEndsTheirCycles) {
  const fs::path folder = ScratchFolder("image_set_links");
  WriteText(folder / "real/x.png", "x");
  fs::create_directory_symlink(folder, folder / "real/up");
  fs::create_directory_symlink(folder / "real", folder / "again");
  fs::create_symlink(folder / "real/x.png", folder / "link.png");
  EXPECT_EQ(Names(ListImages(folder).files),
            (std::vector<std::string>{"again/x.png", "link.png", "real/x.png"}));
}

// A tree whose paths become too long to be read: what even root is refused.
void MakeUnreadableFolder(const fs::path& folder) {
  fs::create_directories(folder);
  const std::string part(200, 'd');
  const int top = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  int at = top;
  for (int depth = 0; depth < 25; ++depth) {
    ASSERT_EQ(::mkdirat(at, part.c_str(), 0700), 0);
    const int below = ::openat(at, part.c_str(), O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = below;
  }
  ::close(at);
}

TEST(ListImages, SkipsWhatCannotBeReadAndSaysWhy) {
  const fs::path folder = ScratchFolder("image_set");
  WriteText(folder / "good.png", "");
  MakeUnreadableFolder(folder / "deep");
  fs::create_symlink(folder / "nowhere", folder / "dangling.jpg");
  fs::create_symlink(folder / "nowhere", folder / "dangling.txt");
  fs::create_symlink("loop.png", folder / "loop.png");
  fs::create_symlink("/dev/zero", folder / "zero.jpg");
  ASSERT_EQ(::mkfifo((folder / "pipe.png").c_str(), 0600), 0);
  const ImageSet set = ListImages(folder);
  EXPECT_EQ(Names(set.files), std::vector<std::string>{"good.png"});
  ASSERT_EQ(set.unreadable.size(), 5u);
  EXPECT_EQ(set.unreadable[0].file, "dangling.jpg");
  EXPECT_TRUE(Contains(set.unreadable[0].reason, "a symbolic link to a file that does not exist"));
  EXPECT_TRUE(set.unreadable[1].file.starts_with("deep/ddd"));
  EXPECT_TRUE(set.unreadable[1].file.ends_with("ddd/"));
  EXPECT_EQ(set.unreadable[1].reason, "the folder cannot be read: File name too long");
  EXPECT_EQ(set.unreadable[2].file, "loop.png");
  EXPECT_TRUE(Contains(set.unreadable[2].reason, "Too many levels of symbolic links"));
  EXPECT_EQ(set.unreadable[3].file, "pipe.png");
  EXPECT_EQ(set.unreadable[3].reason, "not a regular file");
  EXPECT_EQ(set.unreadable[4].file, "zero.jpg");
}

TEST(ListImages, NamesAreUtf8AndDiffer) {
  const fs::path folder = ScratchFolder("image_set");
  for (const char* name : {"\xe4.png", "\xe5.png", "ä.png"}) WriteText(folder / name, name);
  const std::vector<std::string> names = {"ä.png", "\\xe4.png", "\\xe5.png"};
  EXPECT_EQ(Names(ListImages(folder).files), names);
  WriteText(folder / "list", "ä.png\n\xe4.png\n\xe5.png\n");
  EXPECT_EQ(Names(ListImages(folder / "list").files), names);
  EXPECT_EQ(Names(ListImages(folder / "\xe4.png").files), std::vector<std::string>{"\\xe4.png"});
}

TEST(ListImages, TakesAListWithAByteOrderMark) {
  const fs::path folder = ScratchFolder("image_set");
  WriteText(folder / "a.png", "");
  WriteText(folder / "list.txt",
            "\xEF\xBB\xBF"
            "a.png\r\n\r\n");
  const ImageSet set = ListImages(folder / "list.txt");
  EXPECT_EQ(Names(set.files), std::vector<std::string>{"a.png"});
  EXPECT_TRUE(set.unreadable.empty());
}

TEST(ListImages, TakesOneImage) {
  EXPECT_EQ(Names(ListImages(MixedFolder() / "a/z.jpg").files), std::vector<std::string>{"z.jpg"});
  EXPECT_EQ(Names(ListImages(MixedFolder() / "no_extension").files),
            std::vector<std::string>{"no_extension"});
}

TEST(ListImages, TakesAListInItsOrder) {
  const fs::path folder = MixedFolder();
  const std::string absolute = (folder / "a/z.jpg").string();
  WriteText(folder / "a/list.txt", "../b.png\r\n\n" + absolute + "\ngone.png\n../a.png");
  const ImageSet set = ListImages(folder / "a/list.txt");
  EXPECT_EQ(Names(set.files), (std::vector<std::string>{"../b.png", absolute, "../a.png"}));
  ASSERT_EQ(set.unreadable.size(), 1u);
  EXPECT_EQ(set.unreadable[0].file, "gone.png");
  EXPECT_EQ(set.unreadable[0].reason, "no such file");
}

TEST(ListImages, SaysWhatIsWrong) {
  const fs::path folder = ScratchFolder("image_set_wrong");
  EXPECT_NE(MessageOf(folder / "nowhere").find("no such file or folder"), std::string::npos);
  EXPECT_NE(MessageOf(folder).find("no images in this folder"), std::string::npos);
  WriteText(folder / "words.txt", "these are\nno paths\n");
  EXPECT_NE(MessageOf(folder / "words.txt").find("none of its 2 lines"), std::string::npos);
  WriteText(folder / "empty.txt", "\n");
  EXPECT_NE(MessageOf(folder / "empty.txt").find("is empty"), std::string::npos);
  WriteText(folder / "binary.bin", std::string("a\0b", 3));
  EXPECT_NE(MessageOf(folder / "binary.bin").find("neither an image nor a list"),
            std::string::npos);
}

std::vector<ImageFile> MadeUpFiles(size_t count) {
  std::vector<ImageFile> files;
  for (size_t i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    files.push_back({name, name, Sha256Hex(name)});
  }
  return files;
}

TEST(SplitForEvaluation, HoldsOutTheImagesOfSmallestHash) {
  const std::vector<ImageFile> files = MadeUpFiles(100);
  const ImageSplit split = SplitForEvaluation(files);
  EXPECT_FALSE(split.shared);
  ASSERT_EQ(split.evaluation.size(), 25u);
  ASSERT_EQ(split.calibration.size(), 75u);
  const auto by_hash = [](const ImageFile& x, const ImageFile& y) { return x.sha256 < y.sha256; };
  EXPECT_LT(std::max_element(split.evaluation.begin(), split.evaluation.end(), by_hash)->sha256,
            std::min_element(split.calibration.begin(), split.calibration.end(), by_hash)->sha256);
}

TEST(SplitForEvaluation, DoesNotDependOnTheOrder) {
  std::vector<ImageFile> files = MadeUpFiles(64);
  std::vector<std::string> forward = Names(SplitForEvaluation(files).evaluation);
  std::reverse(files.begin(), files.end());
  std::vector<std::string> backward = Names(SplitForEvaluation(files).evaluation);
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
}

TEST(SplitForEvaluation, FewImagesServeBoth) {
  EXPECT_TRUE(SplitForEvaluation(MadeUpFiles(31)).shared);
  EXPECT_EQ(SplitForEvaluation(MadeUpFiles(31)).calibration.size(), 31u);
  const ImageSplit split = SplitForEvaluation(MadeUpFiles(32));
  EXPECT_FALSE(split.shared);
  EXPECT_EQ(split.evaluation.size(), 16u);
  EXPECT_EQ(split.calibration.size(), 16u);
}

}  // namespace
}  // namespace w8a8::test
