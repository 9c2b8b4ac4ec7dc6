#include "quant/plan_file.h"

#include <bit>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

const std::vector<KnownSite> kSites = {{"blocks.0.attn.qkv", 4},
                                       {"blocks.1.mlp.fc1", 3},
                                       {"blocks.2.mlp.fc2", 4},
                                       {"blocks.10.mlp.fc2", 2}};

Plan EveryKind() {
  Plan plan;
  plan.sites["blocks.0.attn.qkv"] = {};
  plan.sites["blocks.1.mlp.fc1"] = {
      .input = Quantizer{.granularity = Granularity::kTensor, .clip_range = 4.0f, .scale = 0.031f},
      .weight = WeightSpec{.num_bits = 4},
      .smoothing = {1.5f, 0x1.fffffep-3f, 3e7f}};
  plan.sites["blocks.10.mlp.fc2"].input->clip_range = kClipRange;
  return plan;
}

PlanFile Parse(const std::string& text) { return ParsePlan(text, "plan.json", kSites); }

// A plan of one site from the JSON of its value.
std::string OneSite(const std::string& value, const std::string& site = "blocks.0.attn.qkv") {
  return R"({"version": 1, "sites": {")" + site + R"(": )" + value + "}}";
}

std::string MessageOf(const std::string& text) {
  try {
    Parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(PlanFile, IsWrittenInTheOrderOfTheModel) {
  EXPECT_EQ(PlanText({"abc", EveryKind()}, kSites),
            R"({
  "version": 1,
  "model_sha256": "abc",
  "sites": {
    "blocks.0.attn.qkv": {"input": {"strategy": "token", "dynamic": true, "clip_range": null}, "weight": {"num_bits": 8, "strategy": "channel", "symmetric": true}},
    "blocks.1.mlp.fc1": {"input": {"strategy": "tensor", "dynamic": false, "scale": 0.031, "clip_range": 4.0}, "weight": {"num_bits": 4, "strategy": "channel", "symmetric": true}, "smoothing": [1.5, 0.24999999, 3e+07]},
    "blocks.2.mlp.fc2": null,
    "blocks.10.mlp.fc2": {"input": {"strategy": "token", "dynamic": true, "clip_range": 5.0}, "weight": {"num_bits": 8, "strategy": "channel", "symmetric": true}}
  }
}
)");
}

TEST(PlanFile, ReadsBackWhatWasWritten) {
  const std::filesystem::path path = test::ScratchFolder("plan_file_test") / "plan.json";
  const PlanFile written = {"abc", EveryKind()};
  WritePlan(path, written, kSites);
  const PlanFile read = ReadPlan(path, kSites);
  EXPECT_EQ(read.plan, written.plan);
  EXPECT_EQ(read.model_sha256, "abc");
  EXPECT_EQ(PlanSha256(read, kSites), Sha256HexOfFile(path));
}

TEST(PlanFile, EveryScaleComesBackInEveryBit) {
  for (uint64_t i = 0; i < 3000; ++i) {
    // Any binary32 from 2^-126 to 2^120.
    const auto exponent = static_cast<uint32_t>(1 + CounterHash(1, i) % 247);
    const auto mantissa = static_cast<uint32_t>(CounterHash(2, i) >> 41);
    Plan plan;
    plan.sites["blocks.0.attn.qkv"].input =
        Quantizer{.granularity = Granularity::kTensor,
                  .scale = std::bit_cast<float>(exponent << 23 | mantissa)};
    ASSERT_EQ(Parse(PlanText({"", plan}, kSites)).plan, plan);
  }
}

TEST(PlanFile, DecimalsAreRoundedOnceToBinary32) {
  // Just above the midpoint of 1 and 1 + 2^-23: through binary64 it would become the midpoint and
  // then, ties to even, 1.
  const PlanFile file = Parse(OneSite(
      R"({"input": {"strategy": "tensor", "scale": 1.00000005960464477539062500000000001}})"));
  EXPECT_EQ(file.plan.sites.at("blocks.0.attn.qkv").input->scale, 1.0f + 0x1p-23f);
}

TEST(PlanFile, HandWrittenPlansMayLeaveOutWhatIsUsual) {
  const PlanFile file = Parse(R"({"version": 1, "sites": {
      "blocks.2.mlp.fc2": {"input": {"strategy": "token"}},
      "blocks.0.attn.qkv": {"input": {"strategy": "tensor", "scale": 2, "num_bits": 8,
                                      "symmetric": true, "clip_range": 300}, "weight": null},
      "blocks.1.mlp.fc1": null}})");
  Plan expected;
  expected.sites["blocks.2.mlp.fc2"] = {};
  expected.sites["blocks.0.attn.qkv"].input =
      Quantizer{.granularity = Granularity::kTensor, .clip_range = 300.0f, .scale = 2.0f};
  EXPECT_EQ(file.plan, expected);
  EXPECT_EQ(file.model_sha256, "");
  EXPECT_TRUE(Parse(R"({"version": 1, "sites": {}})").plan.sites.empty());
}

TEST(PlanFile, SpellingDoesNotChangeTheSha256) {
  const std::string value = R"({"input": {"strategy": "token", "clip_range": 5.0}})";
  const std::string spelt = R"({ "weight":{"num_bits":8}, "input":{"clip_range":5e0,"dynamic":true,
                                "strategy":"token"}})";
  const PlanFile expected = Parse(OneSite(value));
  EXPECT_EQ(PlanSha256(Parse(OneSite(spelt)), kSites), PlanSha256(expected, kSites));
  const PlanFile other = Parse(OneSite(R"({"input": {"strategy": "token", "clip_range": 6.0}})"));
  EXPECT_NE(PlanSha256(other, kSites), PlanSha256(expected, kSites));
}

TEST(PlanFile, APlanForAnotherModelIsRefused) {
  EXPECT_THROW(CheckPlanModel({"abc", {}}, "plan.json", "def"), Error);
  CheckPlanModel({"abc", {}}, "plan.json", "abc");
  CheckPlanModel({"", {}}, "plan.json", "def");
}

TEST(PlanFile, BadPlansAreRefusedWithTheSiteAndTheField) {
  const std::string site = "blocks.0.attn.qkv";
  const struct {
    std::string value;     // of that site
    std::string expected;  // in the message, beside the site
  } cases[] = {
      {"true", "is true; expected an object"},
      {"[]", "is []; expected an object"},
      {"{}", "'input' is missing"},
      {R"({"input": 3})", "input is 3; expected an object"},
      {R"({"input": {}})", "'strategy' is missing"},
      {R"({"input": {"strategy": "group"}})", R"('strategy' is "group")"},
      {R"({"input": {"strategy": "channel"}})", R"('strategy' is "channel")"},
      {R"({"input": {"strategy": 1}})", "'strategy' is 1"},
      {R"({"input": {"strategy": "token", "dynamic": false}})", "'dynamic' is false"},
      {R"({"input": {"strategy": "tensor", "dynamic": true, "scale": 1}})", "'dynamic' is true"},
      {R"({"input": {"strategy": "tensor"}})", "'scale' is missing"},
      {R"({"input": {"strategy": "token", "scale": 0.1}})", "has a 'scale'"},
      {R"({"input": {"strategy": "tensor", "scale": 0}})", "'scale' is 0"},
      {R"({"input": {"strategy": "tensor", "scale": -0.5}})", "'scale' is -0.5"},
      {R"({"input": {"strategy": "tensor", "scale": 1e-60}})", "'scale' is 0.0"},
      {R"({"input": {"strategy": "tensor", "scale": 1e-39}})", "reciprocal overflows"},
      {R"({"input": {"strategy": "tensor", "scale": "0.1"}})", "'scale' is \"0.1\""},
      {R"({"input": {"strategy": "tensor", "scale": 0.05, "clip_range": 4}})", "beyond"},
      {R"({"input": {"strategy": "token", "clip_range": 0}})", "'clip_range' is 0"},
      {R"({"input": {"strategy": "token", "clip_range": -5}})", "'clip_range' is -5"},
      {R"({"input": {"strategy": "token", "clip_range": "inf"}})", "'clip_range' is \"inf\""},
      {R"({"input": {"strategy": "token", "clip-range": 5}})", "Did you mean 'clip_range'"},
      {R"({"input": {"strategy": "token", "num_bits": 4}})", "'num_bits' is 4"},
      {R"({"input": {"strategy": "token", "symmetric": false}})", "'symmetric' is false"},
      {R"({"input": {"strategy": "token"}, "weights": {}})", "Did you mean 'weight'"},
      {R"({"input": {"strategy": "token"}, "weight": {"num_bits": 1}})", "'num_bits' is 1"},
      {R"({"input": {"strategy": "token"}, "weight": {"num_bits": 9}})", "'num_bits' is 9"},
      {R"({"input": {"strategy": "token"}, "weight": {"num_bits": 8.5}})", "'num_bits' is 8.5"},
      {R"({"input": {"strategy": "token"}, "weight": {"num_bits": 18446744073709551615}})",
       "'num_bits' is 18446744073709551615"},
      {R"({"input": {"strategy": "token"}, "weight": {"strategy": "group"}})", R"("group")"},
      {R"({"input": {"strategy": "token"}, "weight": {"symmetric": false}})", "'symmetric'"},
      {R"({"input": {"strategy": "token"}, "smoothing": [1, 1, 1]})",
       "expected a list of 4 numbers"},
      {R"({"input": {"strategy": "token"}, "smoothing": 2})", "'smoothing' is 2"},
      {R"({"input": {"strategy": "token"}, "smoothing": [1, 1, 0, 1]})", "'smoothing[2]' is 0"},
      {R"({"input": {"strategy": "token"}, "smoothing": [1, 1, 1, null]})", "'smoothing[3]'"},
  };
  for (const auto& c : cases) {
    const std::string message = MessageOf(OneSite(c.value, site));
    EXPECT_NE(message.find("plan.json: site '" + site + "'"), std::string::npos) << message;
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.value << "\n" << message;
  }
}

TEST(PlanFile, BadFilesAreRefused) {
  const struct {
    std::string text;
    std::string expected;
  } cases[] = {
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {R"({"version": 1, "sites": {}} x)", "not valid JSON"},
      {R"({"version": 1, "sites": {"blocks.0.attn.qkv": {"input": {"scale": 1e999}}}})",
       "not valid JSON"},
      {R"({"version": 1, "sites": {"blocks.0.attn.qkv": {"input": {"strategy": "tensor",
          "dynamic": false, "scale": NaN}}}})",
       "'scale' is NaN; expected a finite number above 0"},
      {"[]", "plan.json is []; expected an object"},
      {"{}", "'version' is missing"},
      {R"({"version": 3, "sites": {}})", "'version' is 3; expected 1 or 2"},
      {R"({"version": "1", "sites": {}})", "version"},
      {R"({"version": 1})", "'sites' is missing"},
      {R"({"version": 1, "sites": []})", "'sites' is []; expected an object"},
      {R"({"version": 1, "sites": {}, "site": {}})", "Did you mean 'sites'"},
      {R"({"version": 1, "model_sha256": 5, "sites": {}})", "model_sha256"},
      {R"({"version": 1, "sites": {}, "sites": {}})", "stands twice"},
      {R"({"version": 1, "sites": {"blocks.1.mlp.fc1": null, "blocks.1.mlp.fc1": null}})",
       "'blocks.1.mlp.fc1' stands twice"},
      {R"({"version": 1, "sites": {"blocks.1.mpl.fc1": null}})", "Did you mean 'blocks.1.mlp.fc1'"},
      {std::string(100000, '['), "nests deeper than 64"},
      {std::string("{\"version\": 1, \"sites\": {\"\xff\": null}}"), "not valid JSON"},
  };
  for (const auto& c : cases) {
    const std::string message = MessageOf(c.text);
    EXPECT_NE(message.find("plan.json"), std::string::npos) << message;
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.text.substr(0, 80) << "\n"
                                                           << message;
  }
}

}  // namespace
}  // namespace w8a8
