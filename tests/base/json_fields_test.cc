#include "runtime/base/json_fields.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using nlohmann::json;

std::string Nested(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

std::string Refusal(const std::string& text) {
  return ErrorOf([&] { ParseJson<json>(text, "config.json"); });
}

TEST(ParseJson, BoundsTheDepth) {
  ParseJson<json>(Nested(64), "config.json");
  EXPECT_TRUE(Contains(Refusal(Nested(65)), "config.json: its JSON nests deeper than 64"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_TRUE(Contains(Refusal(objects), "nests deeper"));
}

TEST(ParseJson, CountsNoBracketsInStringsAndFallsAtEveryClosingOne) {
  ParseJson<json>("{\"a\": \"" + std::string(1000, '[') + "\"}", "config.json");
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[{}],";
  ParseJson<json>(wide + "0]", "config.json");
}

TEST(ParseJson, RefusesDoubledKeysWhereAsked) {
  const std::string text = R"({"a": {"b": 1}, "c": {"b": 1}, "a": 2})";
  EXPECT_EQ(ParseJson<json>(text, "x.json").at("a"), 2);
  EXPECT_EQ(ErrorOf([&] { ParseJson<json>(text, "x.json", DoubledKeys::kRefused); }),
            "x.json: 'a' stands twice in one object. Keep one of them.");
}

TEST(ParseJson, RoundsDecimalsOnceToBinary32) {
  const auto one = ParseJson<FloatJson>("1.00000005960464477539062500000000001", "x.json");
  EXPECT_EQ(one.get<float>(), 1.0f + 0x1p-23f);  // through binary64 it would be 1
}

// As Python's json.dumps writes it.
constexpr const char* kNonFinite =
    R"({"a": NaN, "b": [-Infinity, "NaN"], "c": "\" Infinity", "d": Infinity})";

TEST(ParseJson, ReadsPythonsNonFiniteNumbersAndRefusesThemWhereTheyAreAskedFor) {
  const json value = ParseJson<json>(kNonFinite, "x.json");
  EXPECT_EQ(value.at("b")[1], "NaN");
  EXPECT_EQ(value.at("c"), "\" Infinity");
  const JsonFields whole(value, "x.json", "");
  EXPECT_EQ(ErrorOf([&] { whole.Number("a", 1); }),
            "x.json: 'a' is NaN; expected a finite number.");
  EXPECT_EQ(ErrorOf([&] { whole.Int("d", 1, 0, 9); }),
            "x.json: 'd' is Infinity; expected a whole number from 0 to 9.");
  EXPECT_EQ(ErrorOf([&] { whole.At("b").Text(); }),
            "x.json: 'b' is [-Infinity,\"NaN\"]; expected a string.");
  EXPECT_EQ(ErrorOf([&] { whole.Object("a"); }), "x.json: 'a' is NaN; expected an object.");
}

TEST(JsonText, WritesWhatPythonReadsBack) {
  EXPECT_EQ(JsonText(ParseJson<nlohmann::ordered_json>(kNonFinite, "x.json")),
            R"({"a":NaN,"b":[-Infinity,"NaN"],"c":"\" Infinity","d":Infinity})");
}

TEST(ParseJson, PassesOverAByteOrderMark) {
  EXPECT_EQ(ParseJson<json>("\xEF\xBB\xBF{\"a\": 1}", "x.json").at("a"), 1);
  EXPECT_EQ(ParseJson<json>("\xEF\xBB\xBF{\"a\": -Infinity, \"b\": 1}", "x.json").at("b"), 1);
}

TEST(ParseJson, RefusesOtherSpellingsOfThem) {
  for (const char* text : {"{\"a\": nan}", "{\"a\": +Infinity}", "{\"a\": Inf}", "[NaN NaN]"}) {
    EXPECT_TRUE(Contains(Refusal(text), "config.json: not valid JSON")) << text;
  }
}

TEST(JsonView, NamesFilePlaceValueAndWhatIsExpected) {
  const json value = {{"a", {{"list", {1, "two"}}, {"none", nullptr}}}};
  const JsonFields whole(value, "x.json", "");
  const JsonFields a = whole.At("a");
  EXPECT_FALSE(a.Has("none"));
  EXPECT_EQ(a.Int("none", 7, 0, 9), 7);
  EXPECT_EQ(ErrorOf([&] { a.At("list").Elements()[1].Int(0, 9); }),
            "x.json: 'a.list[1]' is \"two\"; expected a whole number from 0 to 9.");
  EXPECT_EQ(ErrorOf([&] { a.At("other"); }), "x.json: 'a.other' is missing.");
  EXPECT_EQ(ErrorOf([&] { a.At("list").Text(); }),
            "x.json: 'a.list' is [1,\"two\"]; expected a string.");
  EXPECT_EQ(ErrorOf([&] { whole.AllowOnly({"aa", "b"}); }), "x.json has an unknown field 'a'.");
}

}  // namespace
}  // namespace w8a8::test
