#include "eval/job/summary.h"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace w8a8::test {
namespace {

ArmReport MadeArm(const std::string& name, Precision precision) {
  ArmReport arm;
  arm.name = name;
  arm.precision = precision;
  arm.top1 = Estimate{1, 0.9841, 1};
  if (precision == Precision::kFp16) return arm;
  arm.agreement = Estimate{1, 0.9841, 1};
  arm.outputs["pooled"].sqnr_db = {-10.61, -11.12, -10.04};  // the widest of its kind
  arm.outputs["pooled"].cosine_mean = {0.99894, 0.9, 1};
  return arm;
}

ArmReport Point(double clip_range, const std::string& name) {
  ArmReport arm = MadeArm(name, Precision::kInt8);
  arm.granularity = InputScaling::kPerTensor;
  arm.clip_range = clip_range;
  return arm;
}

// The arm of the plan's weights alone, on the reference's input 3 dB better at every site.
void AddWeightsAlone(Report& report) {
  ArmReport arm = MadeArm("int8/weight-only", Precision::kInt8);
  arm.part = PlanPart::kWeights;
  const ArmRef weights{report.arms.size()};
  report.arms.push_back(arm);
  const std::vector<SiteReport> sites = report.sites;
  for (SiteReport row : sites) {
    row.arm = weights;
    row.sqnr_db += 3;
    report.sites.push_back(row);
  }
}

// Everything that the summary can show, at its widest.
Report FullReport() {
  Report report;
  report.verdict.ship = Ship::kUndecided;
  for (int i = 0; i < 42; ++i) report.verdict.text += "agrees ";
  ArmReport fake = MadeArm("fake/plan", Precision::kFake),
            int8 = MadeArm("int8/plan", Precision::kInt8);
  fake.chosen = int8.chosen = true;
  report.arms = {MadeArm("fp16", Precision::kFp16),
                 fake,
                 int8,
                 Point(5, "int8/per-token/5"),
                 Point(5, "int8/per-tensor/5"),
                 Point(20, "int8/per-tensor/20")};
  report.arms.back().outputs["pooled"].sqnr_db.value = 30;
  for (const char* site :
       {"blocks.26.attn.qkv", "blocks.26.attn.proj", "blocks.26.mlp.fc1", "blocks.26.mlp.fc2"}) {
    SiteReport row;
    row.site = report.site_names.Add(site);
    row.arm = ArmRef{2};
    row.sqnr_db = 20;
    row.weight_share = 0.1;
    report.sites.push_back(row);
  }
  report.checks.total.codes_compared = 1'397'975'040'000;
  report.checks.total.int32_compared = 1'806'520'320'000;
  report.checks.total.outputs_compared = 999'999'999'999;
  report.skipped_images = {{"a", "b"}};
  report.plan_choices.resize(108);
  for (PlanChoice& choice : report.plan_choices) choice.granularity = InputScaling::kFp16;
  report.arms[2].scheme = "w8a8-token";
  report.arms[2].compressed_tensors = "weights int8 channel symmetric";
  report.arms[2].vllm = "CompressedTensorsW8A8Int8 (dynamic)";
  AddWeightsAlone(report);
  return report;
}

RunInfo MadeRun() {
  RunInfo run;
  run.latency["fp16"].ms_per_image = 1234.56;
  run.latency["fake"].ms_per_image = 1333.25;
  run.latency["int8"].ms_per_image = 617.28;
  run.peak_memory_bytes = uint64_t{2} << 30;
  return run;
}

TEST(Summary, Fits80ColumnsAnd24Lines) {
  std::istringstream text(SummaryText(FullReport(), MadeRun(), "out"));
  int lines = 0;
  for (std::string line; std::getline(text, line); ++lines) {
    EXPECT_LE(line.size(), 80u) << line;
  }
  EXPECT_LE(lines, 22);  // room for the line about quantized/ and for the prompt
}

TEST(Summary, ShowsArmsBestPointWorstSitesAndFiles) {
  const std::string text = SummaryText(FullReport(), MadeRun(), "out");
  for (const char* part :
       {"-10.6 [-11.1, -10.0]", "0.9989", "100.0 [98.4, 100.0]", "1234.6", "1333.2", "617.3",
        "int8/per-tensor/20", "blocks.26.mlp.fc1", "out/report.html"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("blocks.26.mlp.fc2"), std::string::npos) << "the fourth worst";
}

TEST(Summary, FitsTheLongestNamesOfSites) {
  Report report = FullReport();
  for (SiteReport& site : report.sites) {
    site.site = report.site_names.Add("blocks.26.mlp.shared_expert.fc1");
  }
  std::istringstream text(SummaryText(report, MadeRun(), "out"));
  for (std::string line; std::getline(text, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST(Summary, NamesExpertsThatGotTooLittleSitesWithoutAScaleAndWhatIsRoutedOtherwise) {
  Report report = FullReport();
  EXPECT_EQ(SummaryText(report, MadeRun(), "out").find("experts"), std::string::npos);
  report.min_expert_tokens = 20;
  report.experts = {{.block = 3, .expert = 0, .tokens = 400},
                    {.block = 3, .expert = 11, .tokens = 7, .below_minimum = true}};
  report.arms[2].routing_changed = 0.0125;
  report.plan_choices[0].site = report.site_names.Add("blocks.3.mlp.experts.11.fc1");
  report.plan_choices[0].rule = kNoRows;
  const std::string text = SummaryText(report, MadeRun(), "out");
  for (const char* line :
       {"\nexperts    1 of 2 got fewer than 20 tokens: blocks.3.mlp.experts.11\n",
        "\nFP16       1 sites got no row while calibrating: blocks.3.mlp.experts.11.fc1\n",
        "\nrouting    int8/plan gives 1.2 % of the tokens to other experts\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << " in\n" << text;
  }
  const nlohmann::json json = nlohmann::json::parse(SummaryJson(report, MadeRun(), "out"));
  EXPECT_EQ(json["rare_experts"], nlohmann::json({"blocks.3.mlp.experts.11"}));
}

TEST(Summary, ShowsClipRange5OnceWhereItIsTheBestPoint) {
  Report report = FullReport();
  report.arms[3].outputs["pooled"].sqnr_db.value = 40;
  const std::string text = SummaryText(report, MadeRun(), "out");
  const size_t first = text.find("int8/per-token/5 ");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(text.find("int8/per-token/5 ", first + 1), std::string::npos) << text;
  EXPECT_NE(text.find("int8/per-tensor/5 "), std::string::npos);
}

TEST(Summary, SaysHowManySitesStayFp16AndWhereItsOwnWeightsAre) {
  Report report = FullReport();
  EXPECT_NE(SummaryText(report, MadeRun(), "out").find("108 of 108 sites in FP16"),
            std::string::npos);
  EXPECT_EQ(SummaryText(report, MadeRun(), "out").find("\nweights "), std::string::npos);
  report.plan_choices.clear();
  report.facts.json()["weights"] = kQuantizedFolder;
  const std::string text = SummaryText(report, MadeRun(), "out");
  EXPECT_EQ(text.find("in FP16"), std::string::npos);
  EXPECT_NE(text.find("out/quantized"), std::string::npos);
}

TEST(Summary, SaysWhetherWeightsOrActivationsCostTheWorstSites) {
  Report report = FullReport();
  EXPECT_NE(SummaryText(report, MadeRun(), "out")
                .find("blocks.26.attn.qkv       20.0 dB, by its activations (weights alone 23.0)"),
            std::string::npos)
      << SummaryText(report, MadeRun(), "out");
  report.sites.front().weight_share = 0.9;
  EXPECT_NE(SummaryText(report, MadeRun(), "out").find("20.0 dB, by its weights"),
            std::string::npos);
  for (SiteReport& site : report.sites) site.weight_share.reset();
  EXPECT_EQ(SummaryText(report, MadeRun(), "out").find("by its"), std::string::npos);
}

TEST(Summary, SaysWhatOthersCallThePlanAndEverySchemeThatWasAskedFor) {
  Report report = FullReport();
  EXPECT_NE(SummaryText(report, MadeRun(), "out")
                .find("plan       w8a8-token; vLLM: CompressedTensorsW8A8Int8 (dynamic)\n"),
            std::string::npos);
  EXPECT_EQ(SummaryText(report, MadeRun(), "out").find("schemes:"), std::string::npos);
  ArmReport scheme = MadeArm("int8/w4a8-g128-token-asym", Precision::kInt8);
  scheme.scheme = "w4a8-g128-token-asym";
  scheme.compressed_tensors = "weights int4 group 128 symmetric; input_activations int8 token";
  scheme.vllm = "CompressedTensorsW4A8Int (Arm CPUs only)";
  report.arms.push_back(scheme);
  RunInfo run = MadeRun();
  run.latency["int8/w4a8-g128-token-asym"].ms_per_image = 98.76;
  const std::string text = SummaryText(report, run, "out");
  EXPECT_NE(text.find("schemes:\nint8/w4a8-g128-token-asym\n                    -10.6"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("   98.8\n  weights int4 group 128 symmetric; input_activations int8 token; "
                      "vLLM:\n  CompressedTensorsW4A8Int (Arm CPUs only)\n"),
            std::string::npos)
      << text;
  const auto json = nlohmann::json::parse(SummaryJson(report, run, "out"));
  EXPECT_EQ(json["schemes"].size(), 1u);
}

TEST(Summary, SaysWhatTheVerdictStandsOn) {
  Report report = FullReport();
  report.verdict.notes = {"top-1 is over 1 of 6 images."};
  EXPECT_NE(SummaryText(report, MadeRun(), "out").find("agrees\ntop-1 is over 1 of 6 images.\n"),
            std::string::npos)
      << SummaryText(report, MadeRun(), "out");
  const auto json = nlohmann::json::parse(SummaryJson(report, MadeRun(), "out"));
  EXPECT_EQ(json["verdict"]["notes"], nlohmann::json::array({"top-1 is over 1 of 6 images."}));
}

TEST(Summary, NamesTheChosenArmAndDoesWithoutOne) {
  Report report = FullReport();
  report.arms[2].name = "int8/mixed";
  EXPECT_NE(SummaryText(report, MadeRun(), "out").find("worst sites (int8/mixed, "),
            std::string::npos);
  report.arms[2].chosen = false;
  EXPECT_EQ(SummaryText(report, MadeRun(), "out").find("worst sites"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::parse(SummaryJson(report, MadeRun(), "out"))["worst_sites"].empty());
}

TEST(Summary, IsTheSameForMachines) {
  const auto json = nlohmann::json::parse(SummaryJson(FullReport(), MadeRun(), "out"));
  EXPECT_EQ(json["arms"].size(), 4u);
  EXPECT_EQ(json["best_sweep_point"]["name"], "int8/per-tensor/20");
  EXPECT_EQ(json["worst_sites"].size(), 3u);
  EXPECT_EQ(json["clip_range_5"].size(), 2u);
  EXPECT_EQ(json["latency"]["int8"]["ms_per_image"], 617.28);
}

}  // namespace
}  // namespace w8a8::test
