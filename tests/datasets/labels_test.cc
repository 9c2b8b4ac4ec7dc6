#include "datasets/labels.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

using Indices = std::vector<int32_t>;

Labels FromText(const std::string& text) {
  const auto path = ScratchFolder("labels") / "labels.tsv";
  WriteText(path, text);
  return ReadLabels(path);
}

std::string MessageOf(const std::string& text) {
  try {
    FromText(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(ReadLabels, TakesTheColumnAcceptedOrTheThird) {
  EXPECT_EQ(*FromText("file\taccepted\tother\na.png\t3\t7\n").Find("a.png"), Indices{3});
  EXPECT_EQ(*FromText("file\tname\tindex\na.png\tcat\t9,2, 9\r\n").Find("a.png"), (Indices{2, 9}));
}

TEST(ReadLabels, FindsTheWholeNameThenTheFileName) {
  const Labels labels = FromText("f\ta\tb\nx.png\t-\t1\nsub/x.png\t-\t2\nnone.png\t-\t\n");
  EXPECT_EQ(*labels.Find("sub/x.png"), Indices{2});
  EXPECT_EQ(*labels.Find("elsewhere/x.png"), Indices{1});
  EXPECT_EQ(labels.Find("none.png"), nullptr);
  EXPECT_EQ(labels.Find("y.png"), nullptr);
}

TEST(ReadLabels, NamesTheLineThatIsWrong) {
  EXPECT_NE(MessageOf("file\tx\na.png\t1\n").find("none is called 'accepted'"), std::string::npos);
  EXPECT_NE(MessageOf("f\ta\tb\nx.png\t1\n").find(":2: 2 columns"), std::string::npos);
  EXPECT_NE(MessageOf("f\ta\tb\nx.png\t1\tcat\n").find("'cat' is not a class"), std::string::npos);
  EXPECT_NE(MessageOf("f\ta\tb\nx.png\t1\t-4\n").find("'-4' is not a class"), std::string::npos);
  EXPECT_NE(MessageOf("f\ta\tb\nx\t\t1\nx\t\t2\n").find(":3: 'x' is listed twice"),
            std::string::npos);
  EXPECT_NE(MessageOf("f\ta\tb\n").find("no labels"), std::string::npos);
}

TEST(LabelsFromNamedFolders, TakesTheFirstFolderAsTheClass) {
  const std::vector<ImageFile> files = {
      {"", "dog/a.png", ""}, {"", "cat/x/b.png", ""}, {"", "c.png", ""}};
  const NamedFolders named = LabelsFromNamedFolders(files, {"cat", "cow", "dog"});
  EXPECT_EQ(named.unknown_folder, "");
  EXPECT_EQ(*named.labels.Find("dog/a.png"), Indices{2});
  EXPECT_EQ(*named.labels.Find("cat/x/b.png"), Indices{0});
  EXPECT_EQ(named.labels.Find("c.png"), nullptr);
}

TEST(LabelsFromNamedFolders, NamesTheFolderThatIsNoClass) {
  const NamedFolders named =
      LabelsFromNamedFolders({{"", "dog/a.png", ""}, {"", "0/b.png", ""}}, {"dog"});
  EXPECT_EQ(named.unknown_folder, "0");
  EXPECT_TRUE(named.labels.empty());
}

TEST(ReadLabels, ClassesBeyondTheHeadAreNamed) {
  const Labels labels = FromText("f\ta\tb\nx.png\t-\t1000\n");
  EXPECT_NO_THROW(labels.CheckClasses(1001));
  EXPECT_THROW(labels.CheckClasses(1000), Error);
}

TEST(ReadLabels, ReadsTheLabelsOfTheRealImages) {
  const auto folder = DataFolder() / "images/eval";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
  const Labels labels = ReadLabels(folder / "labels.tsv");
  EXPECT_EQ(*labels.Find("Leopards_image_0118.jpg"), (Indices{288, 289, 290, 293}));
  const ImageSet set = ListImages(folder);
  EXPECT_EQ(set.files.size(), 220u);
  for (const ImageFile& file : set.files) EXPECT_NE(labels.Find(file.name), nullptr) << file.name;
}

std::vector<ImageFile> Files(std::initializer_list<const char*> names) {
  std::vector<ImageFile> files;
  for (const char* name : names) files.push_back({name, name, ""});
  return files;
}

TEST(LabelsFromFolders, NumbersAreIndicesAndNamesAreNumberedInOrder) {
  const Labels numbers = LabelsFromFolders(Files({"7/a.png", "3/b.png"}), 10);
  EXPECT_EQ(*numbers.Find("7/a.png"), Indices{7});
  const Labels names = LabelsFromFolders(Files({"dog/a.png", "cat/x/b.png"}), 2);
  EXPECT_EQ(*names.Find("cat/x/b.png"), Indices{0});
  EXPECT_EQ(*names.Find("dog/a.png"), Indices{1});
}

TEST(LabelsFromFolders, NothingIsGuessed) {
  EXPECT_TRUE(LabelsFromFolders(Files({"dog/a.png", "cat/b.png"}), 1000).empty());
  EXPECT_TRUE(LabelsFromFolders(Files({"dog/a.png", "b.png"}), 2).empty());
  EXPECT_TRUE(LabelsFromFolders(Files({"12/a.png"}), 10).empty());
}

}  // namespace
}  // namespace w8a8::test
