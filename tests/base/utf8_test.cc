#include "runtime/base/utf8.h"

#include <set>

#include <gtest/gtest.h>

namespace w8a8 {
namespace {

TEST(ValidUtf8, ShowsTheBytesThatAreNone) {
  EXPECT_EQ(ValidUtf8("größe 写真 🙂\t\\x"), "größe 写真 🙂\t\\x");
  EXPECT_EQ(ValidUtf8("a\xff"), "a\\xff");
  EXPECT_EQ(ValidUtf8("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(ValidUtf8("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(ValidUtf8("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(ValidUtf8("\xe2\x82"), "\\xe2\\x82");  // cut short
  EXPECT_EQ(ValidUtf8(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(NameAsText, KeepsDifferentNamesDifferent) {
  const std::set<std::string> names = {"a\xff",     "a\xfe",   "a\\xff", "a\\xfe",
                                       "a\\x5cxff", "a\\\xff", "a\\",    "größe\n"};
  std::set<std::string> texts;
  for (const std::string& name : names) {
    texts.insert(NameAsText(name));
    EXPECT_EQ(ValidUtf8(NameAsText(name)), NameAsText(name));
  }
  EXPECT_EQ(texts.size(), names.size());
  EXPECT_EQ(NameAsText("größe\n"), "größe\n");
  EXPECT_EQ(NameAsText("a\xff"), "a\\xff");
}

TEST(WithoutControls, ShowsThemForATerminal) {
  EXPECT_EQ(WithoutControls("a\x1b[31m\nö\t", KeepLines::kYes), "a\\x1b[31m\nö\\x09");
  EXPECT_EQ(WithoutControls("a\nb", KeepLines::kNo), "a\\x0ab");
}

}  // namespace
}  // namespace w8a8
