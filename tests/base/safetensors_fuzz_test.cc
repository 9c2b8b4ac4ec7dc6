// Mutated headers: each is read whole or refused with an Error; what is read lies inside the file.
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/safetensors_header.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

constexpr uint64_t kDataBytes = 40;

const std::vector<std::string>& Seeds() {
  static const std::vector<std::string> seeds = {
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F16","shape":[4,4],"data_offsets":[8,40]}}  )",
      R"({"__metadata__":{"format":"pt","k":"v"},"s":{"dtype":"I64","shape":[],)"
      R"("data_offsets":[0,8]},"t":{"dtype":"U8","shape":[32],"data_offsets":[8,40],"x":[{}]}})",
      R"({"\u00e9\n":{"dtype":"F4","shape":[8,10],"data_offsets":[0,40]},)"
      R"("e":{"dtype":"F64","shape":[0],"data_offsets":[40,40]}})",
  };
  return seeds;
}

constexpr std::string_view kTokens[] = {
    "{",      "}",    "[",       "]",          ",",           ":",
    "\"",     "\\",   "-",       "0",          "1e400",       "\"shape\"",
    "null",   "true", "\\u",     "[[[[[[[[[[", "\"F64\"",     "\"BOOL\"",
    "\"a\":", "\xff", "\xf0",    " ",          "\n",          "18446744073709551615",
    "40",     "8",    "{\"x\":", "\"dtype\":", "__metadata__"};

// One to four edits: overwrite, delete, insert a token, repeat a part, cut the end.
std::string Mutate(std::string text, uint64_t seed) {
  uint64_t counter = 0;
  const auto draw = [&](size_t bound) { return size_t{CounterHash(seed, counter++) % bound}; };
  for (size_t edit = 0, edits = 1 + draw(4); edit < edits && !text.empty(); ++edit) {
    const size_t place = draw(text.size());
    switch (draw(5)) {
      case 0:
        text[place] = static_cast<char>(draw(256));
        break;
      case 1:
        text.erase(place, 1 + draw(8));
        break;
      case 2:
        text.insert(place, kTokens[draw(std::size(kTokens))]);
        break;
      case 3:
        text.insert(draw(text.size()), text.substr(place, 1 + draw(80)));
        break;
      default:
        if (draw(8) == 0) text.resize(place);
    }
  }
  return text;
}

void ExpectInsideTheFile(const SafetensorsHeader& header, const std::string& text) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : header.tensors) {
    ASSERT_LE(tensor.begin, tensor.end) << text;
    ASSERT_LE(tensor.end, kDataBytes) << text;
    ASSERT_FALSE(name.empty()) << text;
    bytes += tensor.end - tensor.begin;
  }
  ASSERT_EQ(bytes, kDataBytes) << text;
}

TEST(SafetensorsHeaderFuzz, MutatedHeadersAreReadOrRefused) {
  int accepted = 0;
  int refused = 0;
  for (uint64_t seed = 0; seed < 30'000; ++seed) {
    const std::string text = Mutate(Seeds()[seed % Seeds().size()], seed);
    // A copy that ends where its heap block ends, so that the address sanitizer sees any overrun.
    const std::vector<char> exact(text.begin(), text.end());
    try {
      const SafetensorsHeader header =
          ParseSafetensorsHeader({exact.data(), exact.size()}, kDataBytes, "fuzz");
      ExpectInsideTheFile(header, text);
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  std::printf("%d headers accepted, %d refused\n", accepted, refused);
  EXPECT_GT(accepted, 1'000);  // else the mutations are too wild to reach the later checks
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace w8a8
