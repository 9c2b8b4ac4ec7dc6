#include "runtime/base/names.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace w8a8::test {
namespace {

TEST(DidYouMean, FindsTheChoiceOfFewestEdits) {
  const std::vector<std::string> choices = {"--images", "--image-size", "--model"};
  EXPECT_EQ(DidYouMean("--imges", choices), " Did you mean '--images'?");
  EXPECT_EQ(DidYouMean("--modle", choices), " Did you mean '--model'?");
  EXPECT_EQ(DidYouMean("--image_size", choices), " Did you mean '--image-size'?");
  EXPECT_EQ(DidYouMean("--frobnicate", choices), "");
  EXPECT_EQ(DidYouMean("", choices), "");
  EXPECT_EQ(DidYouMean("--images", {}), "");
}

TEST(FirstOf, NamesEightAndCountsTheRest) {
  EXPECT_EQ(FirstOf({}), "");
  EXPECT_EQ(FirstOf({"a", "b"}), "a, b");
  EXPECT_EQ(FirstOf({"a", "b", "c", "d", "e", "f", "g", "h"}), "a, b, c, d, e, f, g, h");
  EXPECT_EQ(FirstOf({"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}),
            "a, b, c, d, e, f, g, h and 2 more");
}

TEST(CountsBefore, OrdersNumbersByTheirValue) {
  std::vector<std::string> sites = {"blocks.10.mlp.fc1", "blocks.2.mlp.fc2", "blocks.2.mlp.fc1",
                                    "blocks.2",          "blocks.02.x",      "blocks.100.attn"};
  std::ranges::sort(sites, CountsBefore);
  const std::vector<std::string> expected = {"blocks.2",    "blocks.2.mlp.fc1",  "blocks.2.mlp.fc2",
                                             "blocks.02.x", "blocks.10.mlp.fc1", "blocks.100.attn"};
  EXPECT_EQ(sites, expected);
  EXPECT_FALSE(CountsBefore("a1", "a1"));
}

}  // namespace
}  // namespace w8a8::test
