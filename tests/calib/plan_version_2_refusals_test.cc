// What a plan of version 2 may not say.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/plan_file.h"
#include "tests/calib/one_site.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

using test::ErrorOf;
using test::kSite;
using test::OneSite;

const std::vector<KnownSite> kSites = {{kSite, 8, 3}, {"blocks.0.mlp.fc1", 6, 2}};

SitePlan SiteOf(const std::string& value) { return test::SiteOf(value, kSites); }

TEST(PlanVersion2Refusals, ContradictionsAreRefusedWithTheSiteAndTheField) {
  const auto with = [](const std::string& rest) {
    return R"({"input": {"strategy": "token"}, )" + rest + "}";
  };
  const struct {
    std::string value;
    std::string expected;
  } cases[] = {
      {"{}", "'input' is missing"},
      {R"({"input": {"strategy": "channel"}})", R"('strategy' is "channel")"},
      {R"({"input": {"strategy": "group"}})", "'group_size' is missing"},
      {R"({"input": {"strategy": "group", "group_size": 0}})", "'group_size' is 0"},
      {R"({"input": {"strategy": "group", "group_size": 2.5}})", "'group_size' is 2.5"},
      {R"({"input": {"strategy": "group", "group_size": 2, "dynamic": false}})", "'dynamic'"},
      {R"({"input": {"strategy": "group", "group_size": 2, "symmetric": false}})", "zero point"},
      {R"({"input": {"strategy": "group", "group_size": 2, "scale": 1}})", "has a 'scale'"},
      {R"({"input": {"strategy": "token", "group_size": 2}})", "has a 'group_size'"},
      {R"({"input": {"strategy": "token", "zero_point": 3}})", "has a 'zero_point'"},
      {R"({"input": {"strategy": "token", "symmetric": false, "zero_point": 3}})",
       "has a 'zero_point'"},
      {R"({"input": {"strategy": "tensor", "scale": 1, "zero_point": 3}})", "has a 'zero_point'"},
      {R"({"input": {"strategy": "tensor", "scale": 1, "symmetric": false}})",
       "'zero_point' is missing"},
      {R"({"input": {"strategy": "tensor", "scale": 1, "symmetric": false, "zero_point": 128}})",
       "'zero_point' is 128"},
      {R"({"input": {"strategy": "tensor", "scale": 1, "symmetric": false, "zero_point": -1,
           "clip_range": 300}})",
       "'clip_range' 300 beside them"},
      {R"({"input": {"strategy": "token"}, "weight": null})", "FP16 weights"},
      {R"({"input": null, "first_row_twice": true})", "first row"},
      {R"({"input": null, "weight": null, "transform": {"rotation": {"block": 4}}})",
       "FP16 weights"},
      {with(R"("weight": {"strategy": "token"})"), R"('strategy' is "token")"},
      {with(R"("weight": {"strategy": "group"})"), "'group_size' is missing"},
      {with(R"("weight": {"group_size": 4})"), "has a 'group_size'"},
      {with(R"("weight": {"num_bits": 1})"), "'num_bits' is 1"},
      {with(R"("weight": {"strategy": "tensor", "symmetric": false})"), "zero points"},
      {with(R"("weight": {"rounding": "up"})"), R"('rounding' is "up")"},
      {with(R"("weight": {"rounding": "given"})"), "names no 'tensors'"},
      {with(R"("weight": {"convention": "awq"})"), R"('convention' is "awq")"},
      {with(R"("weight": {"convention": "vllm", "num_bits": 4})"), "convention vllm"},
      {with(R"("weight": {"convention": "vllm"}, "transform": {"rotation": {"block": 4}})"),
       "convention vllm"},
      {with(R"("output": {})"), "'scale' is missing"},
      {with(R"("output": {"scale": 0})"), "'scale' is 0"},
      {with(R"("output": {"scale": 516})"), "516"},
      {with(R"("output": {"scale": 1, "zero_point": 1})"), "unknown field 'zero_point'"},
      {with(R"("output": {"scale": 1, "dynamic": true})"), "'dynamic' is true"},
      {with(R"("output": {"scale": 1, "strategy": "token"})"), R"('strategy' is "token")"},
      {with(R"("transform": {"smoothing": true})"), "names no 'tensors'"},
      {with(R"("transform": {"smoothing": 1})"), "'smoothing' is 1"},
      {with(R"("transform": {"rotation": {}})"), "'block' is missing"},
      {with(R"("transform": {"rotation": {"block": 3}})"), "3"},
      {with(R"("transform": {"rotation": {"block": 16}})"), "16"},
      {with(R"("transform": {"rotation": {"block": 4, "seed": 9007199254740992}})"), "'seed'"},
      {with(R"("transform": {"rotation": {"block": 4, "seed": -1}})"), "'seed' is -1"},
      {with(R"("transform": {"folds": {}})"), "unknown field 'folds'"},
      {with(R"("first_row_twice": 1)"), "'first_row_twice' is 1"},
      {with(R"("first_row_twice": true, "weight": {"strategy": "group", "group_size": 4})"),
       "first row"},
      {R"({"input": {"strategy": "group", "group_size": 3},
           "weight": {"strategy": "group", "group_size": 4}})",
       "groups of 3 inputs and 4 weights"},
      {with(R"("smoothing": [1, 1])"), "a list of 8 numbers"},
      {with(R"("smoothing": [1, 1, 1, 1, 1, 1, 1, 1e-40])"), "smoothing"},
  };
  for (const auto& c : cases) {
    const std::string message = ErrorOf([&] { SiteOf(c.value); });
    EXPECT_NE(message.find(std::string("plan.json: site '") + kSite + "'"), std::string::npos)
        << c.value << "\n"
        << message;
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.value << "\n" << message;
  }
}

TEST(PlanVersion2Refusals, ItsFieldsAreRefusedInAFileOfVersion1) {
  for (const char* value :
       {R"({"input": {"strategy": "token"}, "output": {"scale": 1}})",
        R"({"input": {"strategy": "token"}, "first_row_twice": false})",
        R"({"input": {"strategy": "token"}, "transform": {}})",
        R"({"input": {"strategy": "token", "zero_point": 0}})",
        R"({"input": {"strategy": "group", "group_size": 4}})",
        R"({"input": {"strategy": "token"}, "weight": {"rounding": "given"}})"}) {
    std::string text = OneSite(value);
    text.replace(text.find('2'), 1, "1");
    const std::string message = ErrorOf([&] { ParsePlan(text, "plan.json", kSites); });
    EXPECT_NE(message.find("\"version\": 2"), std::string::npos) << value << "\n" << message;
    EXPECT_NE(message.find(kSite), std::string::npos) << message;
  }
}

TEST(PlanVersion2Refusals, BadFilesAreRefused) {
  const struct {
    std::string text;
    std::string expected;
  } cases[] = {
      {R"({"version": 3, "sites": {}})", "'version' is 3; expected 1 or 2"},
      {R"({"version": 2, "sites": {}, "fold": {}})", "Did you mean 'folds'"},
      {R"({"version": 2, "sites": {}, "folds": {"v_proj": true}})", "'v_proj', which is not in"},
      {R"({"version": 1, "sites": {}, "tensors": {}})", "unknown field 'tensors'"},
      {R"({"version": 2, "sites": {}, "tensors": []})", "expected an object"},
      {R"({"version": 2, "sites": {}, "tensors": {"sha256": ""}})", "'tensors.file' is missing"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "a"}})", "'tensors.sha256' is missing"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "../a", "sha256": ""}})", "beside"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "/etc/passwd", "sha256": ""}})",
       "beside"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "..", "sha256": ""}})", "beside"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "", "sha256": ""}})", "beside"},
      {R"({"version": 2, "sites": {}, "tensors": {"file": "absent", "sha256": ""}})", "absent"},
  };
  for (const auto& c : cases) {
    const std::string message = ErrorOf([&] { ParsePlan(c.text, "plan.json", kSites); });
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.text << "\n" << message;
  }
}

}  // namespace
}  // namespace w8a8
