#include "datasets/labels.h"

#include <gtest/gtest.h>

#include "datasets/image_set.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using Indices = std::vector<int32_t>;
using Names = std::vector<std::string>;

ClassIndex Named(const Names& names) {
  std::vector<ClassName> classes;
  for (const std::string& name : names) {
    classes.push_back({.index = std::ssize(classes), .name = name, .description = ""});
  }
  return ClassIndex(std::ssize(names), classes);
}

const ClassIndex kUnnamed(1000, {});

Labels FromText(const std::string& text, const ClassIndex& classes = kUnnamed) {
  const auto path = ScratchFolder("labels") / "labels.tsv";
  WriteText(path, text);
  return ReadLabels(path, classes);
}

// The classes of one image; empty without a label.
Indices Of(const Labels& labels, const std::string& image) {
  const MatchedLabels matched = labels.Match({image});
  return matched.accepted.empty() ? Indices() : matched.accepted.begin()->second;
}

std::string MessageOf(const std::string& text, const ClassIndex& classes = kUnnamed) {
  return ErrorOf([&] { FromText(text, classes); });
}

TEST(ReadLabels, TakesTheColumnAcceptedOrTheThird) {
  EXPECT_EQ(Of(FromText("file\taccepted\tother\na.png\t3\t7\n"), "a.png"), Indices{3});
  EXPECT_EQ(Of(FromText("file\tname\tindex\na.png\tcat\t9,2, 9\r\n"), "a.png"), (Indices{2, 9}));
}

// By its bytes, and as a report shows it.
TEST(ReadLabels, TakesAFileNameThatIsNotUtf8) {
  EXPECT_EQ(Of(FromText("file\taccepted\ncaf\xe9.png\t3\n"), "caf\\xe9.png"), Indices{3});
  EXPECT_EQ(Of(FromText("file\taccepted\ncaf\\xe9.png\t3\n"), "caf\\xe9.png"), Indices{3});
}

TEST(ReadLabels, TakesNamesToo) {
  const ClassIndex classes = Named({"tench, Tinca tinca", "cat", "dog"});
  const auto accepted = [&](const std::string& cell) {
    return Of(FromText("file\taccepted\na.png\t" + cell + "\n", classes), "a.png");
  };
  EXPECT_EQ(accepted("dog"), Indices{2});
  EXPECT_EQ(accepted("dog,Cat"), (Indices{1, 2}));
  EXPECT_EQ(accepted("tench, Tinca tinca"), Indices{0});
  EXPECT_EQ(accepted("\"tench, Tinca tinca\""), Indices{0});
  EXPECT_EQ(accepted("1, dog"), (Indices{1, 2}));
  EXPECT_EQ(Of(FromText("file\taccepted\na\tn02123045\n"), "a"), Indices{281});
}

TEST(ReadLabels, ReadsWhatSpreadsheetsWrite) {
  const Labels labels =
      FromText("\xEF\xBB\xBF\"file\"\t\"accepted\"\r\n\"a \"\"b\"\".png\"\t\"3\"\r\n\r\n");
  EXPECT_EQ(Of(labels, "a \"b\".png"), Indices{3});
  EXPECT_TRUE(Contains(MessageOf(std::string("f\0i\0", 4)), "UTF-16"));
}

TEST(Labels, FitTheWholeNameThenTheEndOfThePath) {
  const Labels labels = FromText("f\ta\tb\nx.png\t-\t1\nsub/x.png\t-\t2\nnone.png\t-\t\n");
  EXPECT_EQ(Of(labels, "sub/x.png"), Indices{2});
  EXPECT_EQ(Of(labels, "else/sub/x.png"), Indices{2});
  EXPECT_EQ(Of(labels, "elsewhere/x.png"), Indices{1});
  EXPECT_EQ(Of(labels, "none.png"), Indices());
  EXPECT_EQ(Of(labels, "y.png"), Indices());
  EXPECT_EQ(Of(labels, "xx.png"), Indices());
}

TEST(Labels, FitTablesWithLongerPathsThanTheImages) {
  const Labels labels = FromText("f\ta\tb\n/data/val/x.png\t-\t1\nval\\y.png\t-\t2\n");
  EXPECT_EQ(Of(labels, "x.png"), Indices{1});
  EXPECT_EQ(Of(labels, "val/y.png"), Indices{2});
  EXPECT_EQ(Of(labels, "./y.png"), Indices{2});
}

TEST(Labels, RefuseARowThatTwoImagesFitAndAnImageThatTwoRowsFit) {
  const Labels one_row = FromText("f\ta\tb\n1.png\t-\t1\n");
  EXPECT_TRUE(Contains(ErrorOf([&] {
                         one_row.Match({"cat/1.png", "dog/1.png"});
                       }),
                       "'1.png' could be the image 'cat/1.png' or 'dog/1.png'"));
  EXPECT_EQ(one_row.Match({"1.png", "dog/1.png"}).accepted.size(), 1u);  // by its whole name
  const Labels two_rows = FromText("f\ta\tb\ncat/1.png\t-\t1\ndog/1.png\t-\t2\n");
  EXPECT_TRUE(Contains(ErrorOf([&] { two_rows.Match({"1.png"}); }), "could be 'cat/1.png' or"));
}

TEST(Labels, SayWhichRowsNameNoImage) {
  const Labels labels = FromText("f\ta\tb\nx.png\t-\t1\ny.png\t-\t2\n");
  EXPECT_EQ(labels.Match({"x.png", "z.png"}).unused_rows, Names{"y.png"});
}

TEST(ReadLabels, NamesTheLineThatIsWrong) {
  EXPECT_TRUE(Contains(MessageOf("file\tx\na.png\t1\n"), "none is called 'accepted'"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\n"), ":2: 2 columns"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\tcat\n"), ":2: 'cat' is neither a class"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\tdgo\n", Named({"cat", "dog"})),
                       "Did you mean 'dog'?"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\t-4\n"), "'-4' is no class index"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\t1000\n"), "there are 1000 classes"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx.png\t1\t3.0\n"), "'3.0' is neither"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx\t\t1\nx\t\t2\n"), ":3: 'x' is listed twice"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\n"), "no labels"));
  EXPECT_TRUE(Contains(MessageOf("x.png\t-\t3\ny.png\t-\t4\n"), "should be a header"));
  EXPECT_TRUE(
      Contains(MessageOf("f\ta\tb\nx\t\tcrane\n", Named({"crane", "crane"})), "class 0 or 1"));
}

TEST(ReadLabels, RefusesANumberThatIsAnIndexAndTheNameOfAnotherClass) {
  const ClassIndex shifted = Named({"1", "2", "3"});
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx\t\t1\n", shifted), ":2: '1' could be class 1 or 0"));
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx\t\t02\n", Named({"a", "b", "c", "02"})),
                       "'02' could be class 2 or 3"));
  EXPECT_EQ(Of(FromText("f\ta\tb\nx\t\t0\n", shifted), "x"), Indices{0});
  EXPECT_EQ(Of(FromText("f\ta\tb\nx\t\t3\n", shifted), "x"), Indices{2});
  EXPECT_EQ(Of(FromText("f\ta\tb\nx\t\t1\n", Named({"0", "1"})), "x"), Indices{1});
  EXPECT_TRUE(Contains(MessageOf("f\ta\tb\nx\t\t4\n", shifted), "there are 3 classes"));
}

TEST(ReadLabels, PassesOverBlankLinesAndNamesRowsAndColumnsThatSayNothing) {
  EXPECT_EQ(Of(FromText("f\ta\tb\n\t\t\n  \nx\t\t1\n \t\r\n"), "x"), Indices{1});
  EXPECT_EQ(FromText("f\taccepted\nx\t1\ny\t \n").Match({"x", "y"}).empty_rows, Names{"y"});
  EXPECT_TRUE(Contains(MessageOf("f\taccepted\taccepted\nx\t1\t2\n"), "two columns are called"));
}

TEST(ReadLabels, ReadsTheLabelsOfTheRealImages) {
  const auto folder = DataFolder() / "images/eval";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
  const Labels labels = ReadLabels(folder / "labels.tsv", kUnnamed);
  EXPECT_EQ(Of(labels, "Leopards_image_0118.jpg"), (Indices{288, 289, 290, 293}));
  const ImageSet set = ListImages(folder);
  EXPECT_EQ(set.files.size(), 220u);
  for (const ImageFile& file : set.files) EXPECT_FALSE(Of(labels, file.name).empty()) << file.name;
}

}  // namespace
}  // namespace w8a8::test
