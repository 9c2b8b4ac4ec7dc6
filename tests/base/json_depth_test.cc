#include "runtime/base/json_depth.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

std::string Nested(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

std::string Refusal(const std::string& text) {
  return ErrorOf([&] { CheckJsonDepth(text, "config.json"); });
}

TEST(JsonDepth, IsBoundedBeforeAnythingIsParsed) {
  CheckJsonDepth(Nested(64), "config.json");
  EXPECT_TRUE(Contains(Refusal(Nested(65)), "config.json: its JSON nests deeper than 64"));
  EXPECT_TRUE(Contains(Refusal(std::string(100'000, '{')), "nests deeper"));
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  EXPECT_TRUE(Contains(Refusal(objects), "nests deeper"));
}

TEST(JsonDepth, CountsNoBracketsInStrings) {
  CheckJsonDepth("{\"a\": \"" + std::string(1000, '[') + "\"}", "config.json");
  CheckJsonDepth("[\"\\\"" + std::string(1000, '{') + "\"]", "config.json");
  EXPECT_TRUE(Contains(Refusal("\"\\\\\"" + Nested(65)), "nests deeper"));
}

TEST(JsonDepth, FallsAgainAtEveryClosingBracket) {
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[{}],";
  CheckJsonDepth(wide + "0]", "config.json");
}

}  // namespace
}  // namespace w8a8::test
