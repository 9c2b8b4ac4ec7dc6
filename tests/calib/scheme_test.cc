#include "calib/scheme.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

constexpr std::optional<Granularity> kFp16 = std::nullopt;

// Every scheme whose group sizes are 0, 1, 32 or 128.
std::vector<Scheme> EveryScheme() {
  std::vector<Scheme> schemes;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t group : {0, 1, 32, 128}) {
      for (const bool output : {false, true}) {
        Scheme scheme{.weight_bits = bits, .weight_group = group, .output = output};
        scheme.input = kFp16;
        schemes.push_back(scheme);
        if (bits == 8 && group == 0) {
          schemes.push_back(scheme);
          schemes.back().convention = WeightConvention::kVllm;
        }
        for (const Granularity input : {Granularity::kToken, Granularity::kTensor}) {
          scheme.input = input;
          for (const bool symmetric : {false, true}) {
            scheme.symmetric = symmetric;
            schemes.push_back(scheme);
          }
        }
        for (const int64_t input_group : {1, 32, 128}) {
          scheme.input = Granularity::kGroup;
          scheme.input_group = input_group;
          schemes.push_back(scheme);
        }
      }
    }
  }
  return schemes;
}

TEST(Scheme, TheNamesThatPeopleKnowMeanWhatTheySay) {
  const struct {
    std::string text;
    Scheme expected;
  } cases[] = {
      {"w8a8", {}},
      {"w8a8-token", {}},
      {"w8a8-tensor", {.input = Granularity::kTensor}},
      {"w8a16", {.input = kFp16}},
      {"w4a16-g128", {.weight_bits = 4, .weight_group = 128, .input = kFp16}},
      {"w4a8-g128", {.weight_bits = 4, .weight_group = 128}},
      {"w8a8o8", {.input = Granularity::kTensor, .output = true}},
      {"w8a8o8-token", {.output = true}},
      {"w8a16o8", {.input = kFp16, .output = true}},
      {"w8a8-token-g32", {.input = Granularity::kGroup, .input_group = 32}},
      {"w8a8-token-asym", {.symmetric = false}},
      {"w8a8-token-vllm", {.convention = WeightConvention::kVllm}},
      {"w8a16-vllm", {.input = kFp16, .convention = WeightConvention::kVllm}},
      {"w8a8-tensor-asym", {.input = Granularity::kTensor, .symmetric = false}},
      {"w3a8o8-g64-token-g16",
       {.weight_bits = 3,
        .weight_group = 64,
        .input = Granularity::kGroup,
        .input_group = 16,
        .output = true}},
  };
  for (const auto& c : cases) EXPECT_EQ(ParseScheme(c.text), c.expected) << c.text;
}

TEST(Scheme, EveryNameReadsBackAndNoTwoSchemesShareOne) {
  std::vector<std::string> names;
  for (const Scheme& scheme : EveryScheme()) {
    names.push_back(SchemeName(scheme));
    EXPECT_EQ(ParseScheme(names.back()), scheme) << names.back();
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(Scheme, NamesOfTheDocumentationAreWrittenAsTheyAreRead) {
  for (const char* name : {"w8a8-token", "w8a8-tensor", "w8a16", "w4a8-g128", "w8a8o8",
                           "w8a8-token-g32", "w8a8-token-asym", "w8a8-tensor-asym", "w4a8-token"}) {
    EXPECT_EQ(SchemeName(ParseScheme(name)), name);
  }
}

TEST(Scheme, NonsenseAndContradictionsAreRefusedWithTheTextAndTheReason) {
  const struct {
    std::string text;
    std::string expected;
  } cases[] = {
      {"", "does not begin with w2 to w8"},
      {"a8", "does not begin with w2 to w8"},
      {"w", "does not begin with w2 to w8"},
      {"w1a8", "does not begin with w2 to w8"},
      {"w9a8", "does not begin with w2 to w8"},
      {"w16a16", "does not begin with w2 to w8"},
      {"w8", "inputs are a8"},
      {"w8a4", "inputs are a8"},
      {"w8a", "inputs are a8"},
      {"w8a8o16", "'o16' is unknown"},
      {"w8a80", "'0' is unknown"},
      {"w8a8o8o8", "'o8' is unknown"},
      {"w8a8 ", "' ' is unknown"},
      {"W8A8", "does not begin"},
      {"w8a8-", "'' is unknown"},
      {"w8a8--token", "'' is unknown"},
      {"w8a8-channel", "'channel' is unknown"},
      {"w8a8-asym", "'asym' is unknown"},
      {"w8a8-token-tensor", "'tensor' is unknown"},
      {"w8a8-token-token", "'token' is unknown"},
      {"w8a8-token-asym-asym", "'asym' is unknown"},
      {"w8a8-token-g32-g32", "'g32' is unknown"},
      {"w4a8-g128-g32", "'g32' is unknown"},
      {"w4a8-g", "'g' is no group size"},
      {"w4a8-g0", "'g0' is no group size"},
      {"w4a8-g-1", "'g' is no group size"},
      {"w4a8-g032", "'g032' is no group size"},
      {"w4a8-g+32", "'g+32' is no group size"},
      {"w4a8-g32x", "'g32x' is no group size"},
      {"w4a8-g99999999999999999999", "is no group size"},
      {"w4a8-g131072", "'g131072' is no group size; it is a number from 1 to 131071"},
      {"w8a8-token-g0", "'g0' is no group size"},
      {"w8a8-token-g131072", "'g131072' is no group size"},
      {"w8a16-token", "a16 leaves the inputs in FP16, so 'token' says nothing"},
      {"w8a16-g32-tensor", "so 'tensor' says nothing"},
      {"w8a8-tensor-g32", "inputs in groups are dynamic"},
      {"w8a8-token-g32-asym", "inputs in groups have no zero point"},
      {"w8a8-token-asym-g32", "inputs in groups have no zero point"},
      {"w4a8-token-vllm", "vLLM's online INT8 makes weights of 8 bits"},
      {"w8a8-g32-vllm", "vLLM's online INT8 makes weights of 8 bits"},
      {"w8a8-vllm-token", "'vllm' is unknown"},
      {"w8a8-token-vllm-vllm", "'vllm' is unknown"},
  };
  for (const auto& c : cases) {
    try {
      const Scheme read = ParseScheme(c.text);
      ADD_FAILURE() << "'" << c.text << "' was read as " << SchemeName(read);
    } catch (const BadSetting& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.find("'" + c.text + "': "), 0u) << message;
      EXPECT_NE(message.find(c.expected), std::string::npos) << message;
    }
  }
}

TEST(Scheme, ATextOfAnyLengthIsRefusedInAFewLines) {
  for (const std::string text : {"A", "w8a8-g1", "w8a8-asym"}) {
    try {
      ParseScheme(text + std::string(100000, '1'));
      ADD_FAILURE() << text;
    } catch (const BadSetting& error) {
      EXPECT_LT(std::string_view(error.what()).size(), 400u);
      EXPECT_NE(std::string_view(error.what()).find("characters more. A scheme is"),
                std::string_view::npos);
    }
  }
}

TEST(Scheme, EveryPlanOfASiteIsOneThatLayersRunBy) {
  constexpr int64_t kInputs = 256;
  for (const Scheme& scheme : EveryScheme()) {
    SitePlan plan = SitePlanOf(scheme);
    if (scheme.NeedsInputStatistics()) plan.input->scale = 0.5f;
    if (scheme.NeedsOutputStatistics()) plan.output->scale = 0.5f;
    EXPECT_NO_THROW(CheckSitePlan(SchemeName(scheme), plan, kInputs));
  }
  EXPECT_EQ(SitePlanOf(Scheme()), SitePlan());
}

TEST(Scheme, SaysWhichStatisticsItNeeds) {
  for (const char* name : {"w8a8-token", "w8a16", "w8a8-token-g32", "w8a8-token-asym"}) {
    EXPECT_FALSE(ParseScheme(name).NeedsInputStatistics()) << name;
    EXPECT_FALSE(ParseScheme(name).NeedsOutputStatistics()) << name;
  }
  EXPECT_TRUE(ParseScheme("w8a8-tensor-asym").NeedsInputStatistics());
  EXPECT_TRUE(ParseScheme("w8a8o8").NeedsInputStatistics());
  EXPECT_TRUE(ParseScheme("w8a8o8").NeedsOutputStatistics());
  EXPECT_FALSE(ParseScheme("w8a8o8-token").NeedsInputStatistics());
  EXPECT_TRUE(ParseScheme("w8a16o8").NeedsOutputStatistics());
}

TEST(Scheme, SaysWhatItIsInTheWordsOfCompressedTensors) {
  EXPECT_EQ(CompressedTensorsText(ParseScheme("w8a8-token")),
            "weights int8 channel symmetric; input_activations int8 token dynamic symmetric");
  EXPECT_EQ(CompressedTensorsText(ParseScheme("w4a8-g128-tensor-asym")),
            "weights int4 group 128 symmetric; input_activations int8 tensor static asymmetric");
  EXPECT_EQ(CompressedTensorsText(ParseScheme("w8a8-token-g32")),
            "weights int8 channel symmetric; input_activations int8 group 32 dynamic symmetric");
  EXPECT_EQ(CompressedTensorsText(ParseScheme("w2a8o8")),
            "weights int2 channel symmetric; input_activations int8 tensor static symmetric; "
            "output_activations int8 tensor static symmetric");
  EXPECT_EQ(CompressedTensorsText(ParseScheme("w8a16")), "weights int8 channel symmetric");
}

}  // namespace
}  // namespace w8a8
