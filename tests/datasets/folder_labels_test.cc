#include "datasets/folder_labels.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using Indices = std::vector<int32_t>;
using Images = std::vector<std::string>;

ClassIndex Named(const std::vector<std::string>& names) {
  std::vector<ClassName> classes;
  for (const std::string& name : names) {
    classes.push_back({.index = std::ssize(classes), .name = name, .description = ""});
  }
  return ClassIndex(std::ssize(names), classes);
}

ClassIndex Unnamed(int64_t classes) { return ClassIndex(classes, {}); }

FolderLabels LabelsOf(const Images& images, const ClassIndex& classes,
                      FolderOrder order = FolderOrder::kBytewise) {
  return LabelsFromFolders(images, classes, order, "photos");
}

std::string Refusal(const Images& images, const ClassIndex& classes) {
  return ErrorOf([&] { LabelsOf(images, classes); });
}

// Twelve folders of one image each.
Images Folders(const std::string& prefix) {
  Images images;
  for (int i = 1; i <= 12; ++i) images.push_back(fmt::format("{}{}/x.png", prefix, i));
  std::sort(images.begin(), images.end());
  return images;
}

TEST(LabelsFromFolders, GoByNameWhereTheModelHasThem) {
  const FolderLabels labels = LabelsOf({"10-19/a.png", "3-9/a.png", "3-9/deep/b.png", "root.png"},
                                       Named({"0-2", "3-9", "10-19", "20-29", "more than 70"}));
  EXPECT_EQ(labels.folders, FoldersAre::kNames);
  EXPECT_EQ(labels.accepted.at("10-19/a.png"), Indices{2});
  EXPECT_EQ(labels.accepted.at("3-9/deep/b.png"), Indices{1});
  EXPECT_FALSE(labels.accepted.contains("root.png"));
  EXPECT_EQ(labels.folder, (std::vector<std::string>{"3-9", "10-19"}));
}

TEST(LabelsFromFolders, TakeANumberForANameBeforeAnIndex) {
  const ClassIndex sorted_bytewise = Named({"0", "1", "10", "11", "2"});
  EXPECT_EQ(LabelsOf({"10/x.png"}, sorted_bytewise).accepted.at("10/x.png"), Indices{2});
  const FolderLabels numbers =
      LabelsOf({"3/x.png", "007/x.png"}, Named({"a", "b", "c", "d", "e", "f", "g", "h"}));
  EXPECT_EQ(numbers.folders, FoldersAre::kNumbers);
  EXPECT_EQ(numbers.accepted.at("007/x.png"), Indices{7});
}

TEST(LabelsFromFolders, FindTheLevelOfTheNames) {
  const ClassIndex pets = Named({"cat", "dog"});
  EXPECT_EQ(LabelsOf({"data/indoor/cat/1.png", "data/outdoor/dog/2.png"}, pets)
                .accepted.at("data/outdoor/dog/2.png"),
            Indices{1});
  EXPECT_EQ(LabelsOf({"/data/me/val/dog/2.png"}, pets).accepted.at("/data/me/val/dog/2.png"),
            Indices{1});
  EXPECT_EQ(LabelsOf({"val/1/x.png", "val/0/x.png"}, Unnamed(2)).accepted.at("val/1/x.png"),
            Indices{1});
  EXPECT_EQ(LabelsOf({"2021/01/x.png", "2021/02/x.png"}, Unnamed(1000)).folders,
            FoldersAre::kNoClasses);
}

TEST(LabelsFromFolders, RefuseFoldersOfWhichSomeAreNoClasses) {
  const std::string said = Refusal({"cat/1.png", "dgo/2.png"}, Named({"cat", "dog"}));
  EXPECT_TRUE(Contains(said, "photos: 1 of its 2 sub-folders")) << said;
  EXPECT_TRUE(Contains(said, "'dgo'. Did you mean 'dog'?")) << said;
  EXPECT_TRUE(Contains(Refusal({"9/1.png", "10/2.png"}, Unnamed(10)), "'10'"));
  EXPECT_TRUE(Contains(Refusal({"n01440764/1.png", "misc/2.png"}, Unnamed(1000)), "'misc'"));
  EXPECT_TRUE(Contains(Refusal({"crane/1.png"}, Named({"crane", "crane"})), "class 0 or 1"));
}

TEST(LabelsFromFolders, NumberFoldersAsTheFrameworkDoesWhereNothingIsNamed) {
  const FolderLabels natural = LabelsOf(Folders("site"), Unnamed(12), FolderOrder::kNatural);
  EXPECT_EQ(natural.folders, FoldersAre::kOrdered);
  EXPECT_EQ(natural.accepted.at("site2/x.png"), Indices{1});
  EXPECT_EQ(natural.accepted.at("site12/x.png"), Indices{11});
  EXPECT_TRUE(Contains(natural.text, "order that timm gives them (0 = 'site1', 1 = 'site2', "));
  const FolderLabels bytewise = LabelsOf(Folders("site"), Unnamed(12));
  EXPECT_EQ(bytewise.accepted.at("site10/x.png"), Indices{1});
  EXPECT_EQ(bytewise.accepted.at("site2/x.png"), Indices{4});
  EXPECT_TRUE(Contains(bytewise.text, "torchvision"));
}

TEST(LabelsFromFolders, NumberFolders1To12InOrderToo) {
  const FolderLabels natural = LabelsOf(Folders(""), Unnamed(12), FolderOrder::kNatural);
  EXPECT_EQ(natural.accepted.at("1/x.png"), Indices{0});
  EXPECT_EQ(natural.accepted.at("12/x.png"), Indices{11});
}

TEST(LabelsFromFolders, AreNoneWhereNothingFitsAndSayWhy) {
  for (const ClassIndex& classes : {Unnamed(1000), Named({"a", "b"})}) {
    const FolderLabels labels = LabelsOf({"dog/a.png", "cat/b.png"}, classes);
    EXPECT_EQ(labels.folders, FoldersAre::kNoClasses);
    EXPECT_TRUE(Contains(labels.text, "the sub-folder 'cat' is none of the model's"));
  }
  EXPECT_EQ(LabelsOf({"a.png"}, Unnamed(2)).text, "");
  const FolderLabels embedded = LabelsOf({"x/a.png", "y/b.png"}, Unnamed(2), FolderOrder::kNone);
  EXPECT_TRUE(embedded.accepted.empty());
}

TEST(LabelsFromFolders, RefuseARootOfSplits) {
  for (const Images& images :
       {Images{"train/a.png", "val/b.png"}, Images{"train/cat/a.png", "test/dog/b.png"},
        Images{"data/Train/cat/a.png", "data/Validation/dog/b.png"},
        Images{"train2017/a.png", "val2017/b.png"}}) {
    for (const ClassIndex& classes : {Unnamed(2), Named({"cat", "dog"})}) {
      EXPECT_TRUE(Contains(Refusal(images, classes), "are splits of a data set")) << images.front();
    }
  }
  EXPECT_TRUE(Contains(Refusal({"d/train/a.png", "d/val/b.png"}, Unnamed(2)),
                       "Give one of them: photos/d/val."));
  EXPECT_EQ(LabelsOf({"train/a.png", "test/b.png"}, Named({"train", "test"})).folders,
            FoldersAre::kNames);
}

// Orders of Python's sorted(names, key=timm.utils.misc.natural_key).
TEST(NaturallyBefore, IsTimmsKey) {
  const std::vector<std::string> sorted = {"1",   "2",  "10",  "a1",    "A2", "a10",
                                           "a-1", "ab", "b 2", "b 10c", "n3", "n20"};
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) {
      EXPECT_EQ(NaturallyBefore(sorted[i], sorted[j]), i < j) << sorted[i] << " " << sorted[j];
    }
  }
}

}  // namespace
}  // namespace w8a8::test
