// Whose classes a config names, and what sub-folders are then.
#include "eval/job/class_names.h"

#include <gtest/gtest.h>

#include "eval/job/open_task.h"
#include "eval/job/session.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/setting.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

std::filesystem::path Folder(const std::string& config) {
  const std::filesystem::path folder = ScratchFolder("class_names");
  WriteFileAtomically(folder / "config.json", config);
  return folder;
}

// "0=cat 2=dog"
std::string Names(const std::string& config) {
  std::string text;
  for (const ClassName& name : ReadClassNames(Folder(config)).names) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name.index, name.name);
    if (!name.description.empty()) text += "(" + name.description + ")";
  }
  return text;
}

TEST(ReadClassNames, ReadsTheNamesOfTransformers) {
  EXPECT_EQ(Names(R"({"id2label": {"10": "k", "2": "c", "0": "a"}})"), "0=a 10=k 2=c");
  EXPECT_EQ(Names(R"({"id2label": {"0": 7}, "label2id": {"x": 0}})"), "0=7");
  EXPECT_EQ(Names(R"({"label2id": {"cat": 0, "dog": "1"}})"), "0=cat 1=dog");
  EXPECT_EQ(Names(R"({"id2label": {"0": "LABEL_0"}, "label2id": {"cat": 0}})"), "0=cat");
  EXPECT_EQ(Names(R"({"id2label": null})"), "");
  EXPECT_TRUE(Contains(ErrorOf([] { Names(R"({"id2label": {"one": "cat"}})"); }), "'one'"));
}

TEST(ReadClassNames, ReadsTheNamesOfTimm) {
  EXPECT_EQ(Names(R"({"architecture": "vit", "label_names": ["n1", "n2"],
                      "label_descriptions": {"n2": "a dog"}})"),
            "0=n1 1=n2(a dog)");
  EXPECT_EQ(Names(R"({"pretrained_cfg": {"label_names": {"0": "x", "3": "y"}}})"), "0=x 3=y");
  EXPECT_EQ(Names(R"({"pretrained_cfg": {"labels": ["old"]}})"), "0=old");
}

TEST(ReadClassNames, KnowsTheFrameworkByTheArchitecture) {
  EXPECT_EQ(ReadClassNames(Folder(R"({"architecture": "vit"})")).order, FolderOrder::kNatural);
  EXPECT_EQ(ReadClassNames(Folder(R"({"model_type": "vit"})")).order, FolderOrder::kBytewise);
}

struct OpenedFolders : testing::Test {
  static Session Classifier(const std::string& config, int64_t classes) {
    Session session;
    session.folder = Folder(config);
    session.config.classes = classes;
    return session;
  }
  static std::vector<ImageFile> Files(const std::vector<std::string>& names) {
    std::vector<ImageFile> files;
    for (const std::string& name : names) files.push_back({"photos/" + name, name, ""});
    return files;
  }
};

TEST_F(OpenedFolders, KeepTheOtherLabelsWhereAClassIsNotAmongTheImages) {
  const Session session = Classifier(R"({"architecture": "vit"})", 3);
  const OpenedTask opened =
      OpenTask(session, Files({"a1/x.png", "a10/x.png"}),
               {.listed = {"a1/x.png", "a10/x.png", "a2/y.png", "a2/broken.png"}});
  EXPECT_EQ(opened.task.accepted.at("a10/x.png"), std::vector<int64_t>{2});
  ASSERT_EQ(opened.notes.size(), 2u);
  EXPECT_TRUE(Contains(opened.notes[0], "0 = 'a1', 1 = 'a2', 2 = 'a10'"));
  EXPECT_TRUE(Contains(opened.notes[1], "of 1 of the 3 classes")) << opened.notes[1];
  EXPECT_TRUE(Contains(opened.notes[1], "'a2'"));
}

TEST_F(OpenedFolders, AreRankedAmongAllClassesOfTheModel) {
  const Session session = Classifier(R"({"architecture": "vit"})", 1000);
  const OpenedTask opened = OpenTask(session, Files({"n01440764/x.png", "n02979186/y.png"}), {});
  EXPECT_EQ(opened.task.accepted.at("n02979186/y.png"), std::vector<int64_t>{482});
  EXPECT_EQ(opened.labels, "sub-folders by name: 2 of the model's 1000 classes");
  EXPECT_TRUE(opened.notes.empty());
}

TEST_F(OpenedFolders, SayThatTheyAreNoClasses) {
  const Session session = Classifier(R"({"id2label": {"0": "cat", "1": "dog"}})", 2);
  const OpenedTask opened = OpenTask(session, Files({"2021/x.png", "2022/y.png"}), {});
  EXPECT_TRUE(opened.task.accepted.empty());
  ASSERT_EQ(opened.notes.size(), 1u);
  EXPECT_TRUE(Contains(opened.notes[0],
                       "no labels: the sub-folder '2021' is none of the model's 2 classes"));
}

TEST_F(OpenedFolders, NameTheFolderOfSplits) {
  const Session session = Classifier(R"({"id2label": {"0": "cat", "1": "dog"}})", 2);
  EXPECT_TRUE(Contains(ErrorOf([&] {
                         OpenTask(session, Files({"train/cat/x.png", "val/dog/y.png"}), {});
                       }),
                       "Give one of them: photos/val."));
}

TEST_F(OpenedFolders, AndATableAreRefusedWithoutClasses) {
  EXPECT_TRUE(OpenTask(Session(), Files({"cat/x.png"}), {}).task.accepted.empty());
  EXPECT_THROW(OpenTask(Session(), Files({"x.png"}), {.labels = "labels.tsv"}), BadSetting);
}

}  // namespace
}  // namespace w8a8::test
