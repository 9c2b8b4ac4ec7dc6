// What plans are called: every scheme's plan by its name, others by what they are.
#include "eval/job/plan_words.h"

#include <gtest/gtest.h>

#include "eval/job/report_builder.h"

namespace w8a8::test {
namespace {

// As calibration would leave them: with scales, zero points and a clip range.
SitePlan Calibrated(SitePlan plan) {
  if (plan.input && plan.input->is_static()) {
    plan.input->scale = 0.25f;
    if (!plan.input->symmetric) plan.input->zero_point = -3;
  }
  if (plan.input) plan.input->clip_range = 5.0f;
  if (plan.output) plan.output->scale = 0.5f;
  return plan;
}

TEST(SchemeOf, FindsTheNameOfEverySchemesPlan) {
  for (const char* name :
       {"w8a8-token", "w8a8-tensor", "w8a8-token-asym", "w8a8-tensor-asym", "w8a8-token-g32",
        "w8a8o8", "w8a16", "w4a16-g128", "w4a8-token", "w4a8-g128", "w3a8-g32-tensor", "w2a8o8"}) {
    const std::optional<Scheme> found = SchemeOf(Calibrated(SitePlanOf(ParseScheme(name))));
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(SchemeName(*found), name);
  }
}

TEST(SchemeOf, HasNoNameForWhatASchemeCannotSay) {
  SitePlan per_tensor, rotated, twice, none;
  per_tensor.weight->granularity = Granularity::kTensor;
  rotated.rotation = Rotation{.block = 16};
  twice.first_row_twice = true;
  none.input.reset();
  none.weight.reset();
  for (const SitePlan& plan : {per_tensor, rotated, twice, none}) EXPECT_FALSE(SchemeOf(plan));
}

TEST(LayerText, SaysEverythingButScales) {
  EXPECT_EQ(LayerText(SitePlan()), "weights 8 bits per-channel; input per-token");
  EXPECT_EQ(LayerText(SitePlanOf(ParseScheme("w4a8o8-g128-tensor-asym"))),
            "weights 4 bits per-group 128; input per-tensor with zero points; output 8 bits");
  EXPECT_EQ(LayerText(SitePlanOf(ParseScheme("w8a16"))), "weights 8 bits per-channel; input FP16");
  SitePlan plan = SitePlanOf(ParseScheme("w8a8-token-g32"));
  plan.smoothing = {1.0f};
  plan.rotation = Rotation{.block = 16, .mix = true};
  plan.weight->convention = WeightConvention::kVllm;
  EXPECT_EQ(LayerText(plan),
            "weights 8 bits per-channel, vllm convention; input per-group 32; smoothing; rotation "
            "of 16, mixed");
}

TEST(WordsOf, CountTheSitesOfAMixedPlan) {
  EXPECT_EQ(WordsOf(Plan()).compressed_tensors, "");
  Plan plan;
  plan.sites["a"] = plan.sites["b"] = SitePlan();
  EXPECT_EQ(WordsOf(plan).scheme, "w8a8-token");
  EXPECT_EQ(WordsOf(plan).vllm, "CompressedTensorsW8A8Int8");
  plan.sites["c"] = SitePlanOf(ParseScheme("w8a16"));
  const PlanWords words = WordsOf(plan);
  EXPECT_EQ(words.scheme, "");
  EXPECT_EQ(words.compressed_tensors, "2 sites: int-quantized; " + CompressedTensorsText(Scheme()) +
                                          ". 1 site: pack-quantized; weights int8 channel "
                                          "symmetric.");
  EXPECT_NE(words.vllm.find("CompressedTensorsWNA16"), std::string::npos);
}

std::string VllmOf(const char* scheme) {
  Plan plan;
  plan.sites["a"] = SitePlanOf(ParseScheme(scheme));
  for (std::optional<Quantizer>* fixed : {&plan.sites["a"].input, &plan.sites["a"].output}) {
    if (*fixed && (*fixed)->is_static()) (*fixed)->scale = 0.5f;
  }
  return WordsOf(plan).vllm;
}

// One block of width 64 whose fc2 has 256 inputs.
Graph SmallGraph() {
  EncoderConfig config;
  config.family = "siglip";
  config.width = 64;
  config.mlp_width = 256;
  config.heads = 1;
  config.blocks = 1;
  config.image_height = config.image_width = config.patch = 8;
  return BuildGraph(config);
}

PlanWords WordsOfAllSites(const SitePlan& plan) {
  const Graph graph = SmallGraph();
  Plan all;
  for (const std::string& site : graph.Sites()) all.sites[site] = plan;
  return WordsOf(all, &graph);
}

TEST(WordsOf, SayWhatIsRunWhereAGroupIsAWholeRow) {
  const PlanWords words = WordsOfAllSites(SitePlanOf(ParseScheme("w8a8-g256")));
  EXPECT_EQ(words.scheme, "w8a8-token");
  EXPECT_EQ(words.vllm, "CompressedTensorsW8A8Int8");
  EXPECT_TRUE(WordsOfAllSites(SitePlanOf(ParseScheme("w4a16-g64")))
                  .compressed_tensors.starts_with("3 sites: pack-quantized; weights int4 channel"));
}

TEST(WordsOf, NameNoClassOfVllmForWhatIsNotExported) {
  SitePlan rotated, clipped;
  rotated.rotation = Rotation{.block = 16};
  clipped.input->clip_range = 5.0f;
  for (const SitePlan& plan : {rotated, clipped, SitePlanOf(ParseScheme("w4a16-g48"))}) {
    const PlanWords words = WordsOfAllSites(plan);
    EXPECT_EQ(words.vllm, "none");
    EXPECT_NE(words.compressed_tensors.find("not exported: "), std::string::npos)
        << words.compressed_tensors;
  }
}

TEST(WeightBytes, AreThoseOfCodesScalesAndZeroPointsWithoutGaps) {
  const Graph graph = SmallGraph();
  Plan plan;  // fc1: 256 rows of 64 inputs
  plan.sites["blocks.0.mlp.fc1"].weight = {
      .granularity = Granularity::kGroup, .num_bits = 4, .group_size = 32};
  EXPECT_EQ(WeightBytes(graph, {}) - WeightBytes(graph, plan), 256u * (64 * 2 - (32 + 2 * 4)));
  plan.sites["blocks.0.mlp.fc1"].weight->symmetric = false;
  EXPECT_EQ(WeightBytes(graph, {}) - WeightBytes(graph, plan), 256u * (64 * 2 - (32 + 1 + 2 * 4)));
}

TEST(WordsOf, SayWhatVllmMakesOfAScheme) {
  EXPECT_EQ(VllmOf("w8a8-tensor"), "CompressedTensorsW8A8Int8");
  EXPECT_TRUE(VllmOf("w8a8o8").starts_with("CompressedTensorsWNA8O8Int ("));
  EXPECT_TRUE(VllmOf("w8a8o8-token").starts_with("refused by CompressedTensorsW8A8Int8: outputs"));
  EXPECT_TRUE(VllmOf("w4a16-g128").starts_with("CompressedTensorsWNA16 ("));
  EXPECT_TRUE(VllmOf("w4a8").starts_with("CompressedTensorsW4A8Int ("));
  EXPECT_TRUE(VllmOf("w8a8-token-g32").starts_with("refused: "));
}

}  // namespace
}  // namespace w8a8::test
