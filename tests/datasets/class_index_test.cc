#include "datasets/class_index.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "datasets/imagenet_synsets.h"
#include "runtime/base/sha256.h"

namespace w8a8::test {
namespace {

using Indices = std::vector<int32_t>;

std::vector<ClassName> Named(const std::vector<std::string>& names) {
  std::vector<ClassName> classes;
  for (const std::string& name : names) {
    classes.push_back({.index = std::ssize(classes), .name = name, .description = ""});
  }
  return classes;
}

TEST(ClassIndex, FindsTheWholeNameBeforeAnySpellingOfIt) {
  const ClassIndex classes(3, Named({"Cat", "cat", "CAT dog"}));
  EXPECT_EQ(classes.Find("cat"), Indices{1});
  EXPECT_EQ(classes.Find("Cat"), Indices{0});
  EXPECT_EQ(classes.Find("CAT"), (Indices{0, 1}));  // either
  EXPECT_EQ(classes.Find("cat-dog"), Indices{2});
  EXPECT_TRUE(classes.Find("cow").empty());
}

TEST(ClassIndex, FindsSynonymsAndNamesThatNoFileCanHave) {
  const ClassIndex classes(3, Named({"great white shark, white shark", "maillot", "AC/DC"}));
  EXPECT_EQ(classes.Find("Great_White_Shark"), Indices{0});
  EXPECT_EQ(classes.Find("white-shark"), Indices{0});
  EXPECT_EQ(classes.Find("great white shark, white shark"), Indices{0});
  EXPECT_EQ(classes.Find("AC_DC"), Indices{2});
  const ClassIndex twice(2, Named({"maillot", "maillot, tank suit"}));
  EXPECT_EQ(twice.Find("maillot"), Indices{0});
}

TEST(ClassIndex, DoesNotTakeANumberForAName) {
  const ClassIndex classes(12, Named({"0-2", "3-9", "4"}));
  EXPECT_EQ(classes.Find("0-2"), Indices{0});
  EXPECT_TRUE(classes.Find("-4").empty());
  EXPECT_TRUE(classes.Find("39").empty());
}

TEST(ClassIndex, KnowsTheSynsetsOfAnImageNetHeadWithAndWithoutNames) {
  std::vector<std::string> names(1000, "other");
  names[0] = "tench, Tinca tinca";
  names[1] = "goldfish, Carassius auratus";
  for (const auto& given : {std::vector<ClassName>{}, Named(names)}) {
    const ClassIndex classes(1000, given);
    EXPECT_EQ(classes.Find("n01440764"), Indices{0});
    EXPECT_EQ(classes.Find("n02123045"), Indices{281});  // tabby
    EXPECT_EQ(classes.Find("n15075141"), Indices{999});  // toilet tissue
    EXPECT_EQ(classes.Find("n02085620-Chihuahua"), Indices{151});
    EXPECT_TRUE(classes.Find("n99999999").empty());
  }
  EXPECT_TRUE(ClassIndex(999, {}).Find("n01440764").empty());
  names[0] = "aardvark";
  EXPECT_TRUE(ClassIndex(1000, Named(names)).Find("n01440764").empty());
}

// Of timm 1.0.31's data/_info/imagenet_synsets.txt.
TEST(ImageNetSynsets, AreTheListOfTimm) {
  std::string text;
  for (const uint32_t synset : kImageNetSynsets) text += fmt::format("n{:08}\n", synset);
  EXPECT_EQ(Sha256Hex(text), "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15");
  EXPECT_TRUE(std::is_sorted(kImageNetSynsets.begin(), kImageNetSynsets.end()));
}

TEST(ClassIndex, DoesNotCountPlaceholdersAsNames) {
  const ClassIndex placeholders(2, Named({"LABEL_0", "LABEL_1"}));
  EXPECT_FALSE(placeholders.named());
  EXPECT_EQ(placeholders.Find("LABEL_1"), Indices{1});
  EXPECT_TRUE(ClassIndex(2, Named({"LABEL_0", "dog"})).named());
  EXPECT_EQ(ClassIndex(2, {}).Find("LABEL_1"), Indices{1});
  EXPECT_TRUE(ClassIndex(2, {}).Find("LABEL_2").empty());
}

TEST(ClassIndex, FindsWhatTimmDescribes) {
  const ClassIndex classes(
      2, {{.index = 1, .name = "n01440764", .description = "tench, Tinca tinca"}});
  EXPECT_EQ(classes.Find("n01440764"), Indices{1});
  EXPECT_EQ(classes.Find("tench"), Indices{1});
}

}  // namespace
}  // namespace w8a8::test
