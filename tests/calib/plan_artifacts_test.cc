// inspect and diff on plans of version 2, and plans under other names.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/artifacts/difference.h"
#include "eval/cli/artifacts/inspect.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

const std::vector<KnownSite> kSites = {{"a", 4, 2}, {"b", 4, 2}, {"c", 4, 2}};

Plan SmoothedPlan(float first) {
  Plan plan;
  plan.sites["a"] = {.input = Quantizer{.symmetric = false},
                     .weight = WeightSpec{.granularity = Granularity::kGroup, .group_size = 2},
                     .output = Quantizer::Static(0.25f),
                     .smoothing = {first, 2, 3, 4},
                     .rotation = Rotation{.block = 2}};
  plan.sites["b"].input.reset();
  return plan;
}

std::vector<std::string> Differing(const fs::path& a, const fs::path& b) {
  std::vector<std::string> places;
  for (const Difference& difference : CompareArtifacts(a, b, RunFacts::kCompared).differences) {
    places.push_back(difference.where);
  }
  return places;
}

TEST(PlanArtifacts, InspectTellsWhatVersion2SaysOfASite) {
  const fs::path path = test::ScratchFolder("plan_inspect_test") / "plan.json";
  WritePlan(path, {"", SmoothedPlan(1)}, kSites);
  const auto facts = InspectArtifact(path, "");
  EXPECT_EQ(facts["sites_in_int8"], 2);
  const auto& site = facts["sites"][0];
  EXPECT_EQ(site["input"], "per-token, dynamic, asymmetric");
  EXPECT_EQ(site["weights"], "per-group of 2");
  EXPECT_EQ(site["output_scale"], 0.25);
  EXPECT_EQ(site["smoothing"], true);
  EXPECT_EQ(site["rotation"], 2);
  EXPECT_EQ(facts["sites"][1]["input"], "fp16 (weight-only)");
  EXPECT_EQ(facts["sites"][2]["input"], "fp16");
  EXPECT_FALSE(FactsText(facts).empty());
}

TEST(PlanArtifacts, DiffLooksIntoTheTensorsAndNotAtTheirFilesName) {
  const fs::path folder = test::ScratchFolder("plan_diff_test");
  WritePlan(folder / "one.json", {"", SmoothedPlan(1)}, kSites);
  WritePlan(folder / "same.json", {"", SmoothedPlan(1)}, kSites);
  WritePlan(folder / "other.json", {"", SmoothedPlan(5)}, kSites);
  EXPECT_EQ(Differing(folder / "one.json", folder / "same.json"), std::vector<std::string>{});
  EXPECT_EQ(Differing(folder / "one.json", folder / "other.json"),
            std::vector<std::string>{"tensors/a.smoothing"});
}

TEST(PlanArtifacts, ACopyOfAPlanHasACopyOfItsTensors) {
  const fs::path folder = test::ScratchFolder("plan_copy_test");
  WritePlan(folder / "plan.json", {"", SmoothedPlan(1)}, kSites);
  CopyPlan(folder / "plan.json", folder / "plan.old.json");
  WritePlan(folder / "plan.json", {"", SmoothedPlan(5)}, kSites);
  EXPECT_EQ(ReadPlan(folder / "plan.old.json", kSites).plan, SmoothedPlan(1));
  EXPECT_EQ(ReadPlan(folder / "plan.json", kSites).plan, SmoothedPlan(5));
}

TEST(PlanArtifacts, ACopyOfAPlanWithoutTensorsHasItsBytes) {
  const fs::path folder = test::ScratchFolder("plan_copy_text_test");
  for (const std::string text : {R"({"version": 1, "sites": {}})", "{no JSON", ""}) {
    WriteFileAtomically(folder / "plan.json", text);
    CopyPlan(folder / "plan.json", folder / "plan.old.json");
    EXPECT_EQ(ReadFile(folder / "plan.old.json"), text);
  }
}

}  // namespace
}  // namespace w8a8
