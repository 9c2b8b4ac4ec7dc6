// Which blocks of an encoder have experts, by its config: what is read and what is refused.
#include <algorithm>

#include <gtest/gtest.h>

#include "runtime/encoder/config.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

EncoderConfig Read(const std::string& json) {
  const fs::path folder = ScratchFolder("config_mixture");
  WriteText(folder / "config.json", json);
  return ReadEncoderConfig(folder);
}

// Of a tower of 6 blocks with 4 experts and these further fields.
std::string WithExperts(const std::string& fields, const std::string& type = "siglip_vision_model",
                        const std::string& experts = "\"num_experts\": 4") {
  return "{\"model_type\": \"" + type + "\", \"num_hidden_layers\": 6, " + experts + fields + "}";
}

EncoderConfig Mixture(const std::string& fields) { return Read(WithExperts(fields)); }

std::string ErrorOfMixture(const std::string& fields) {
  return ErrorOf([&] { Mixture(fields); });
}

constexpr const char* kTwoRun = ", \"num_experts_per_tok\": 2";

bool HasNote(const EncoderConfig& config, const std::string& words) {
  return std::ranges::any_of(config.notes,
                             [&](const std::string& note) { return Contains(note, words); });
}

class MixtureConfigOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, MixtureConfigOf,
                         testing::Values("siglip_vision_model", "siglip2_vision_model",
                                         "clip_vision_model", "vit", "deit", "dinov2",
                                         "dinov2_with_registers"),
                         [](const auto& family) { return std::string(family.param); });

TEST_P(MixtureConfigOf, EveryBlockHasExpertsWhereTheConfigSaysNoMore) {
  const EncoderConfig config = Read(WithExperts(kTwoRun, GetParam()));
  EXPECT_EQ(config.mixture.experts, 4);
  EXPECT_EQ(config.mixture.chosen, 2);
  EXPECT_FALSE(config.mixture.renormalized);
  EXPECT_EQ(config.mixture.width, config.mlp_width);
  EXPECT_EQ(config.mixture.shared_width, 0);
  EXPECT_EQ(config.mixture.in_block, std::vector<bool>(6, true));
  EXPECT_TRUE(HasNote(config, "'norm_topk_prob' is not stated"));
}

TEST(MixtureConfig, StatedFieldsWin) {
  const EncoderConfig config = Mixture(
      R"(, "num_experts_per_tok": 4, "norm_topk_prob": true, "moe_intermediate_size": 96,
         "decoder_sparse_step": 2, "mlp_only_layers": [3], "shared_expert_intermediate_size": 32,
         "output_router_logits": true, "router_aux_loss_coef": 0.1, "router_jitter_noise": 0.2)");
  EXPECT_TRUE(config.mixture.renormalized);
  EXPECT_EQ(config.mixture.width, 96);
  EXPECT_EQ(config.mixture.shared_width, 32);
  EXPECT_EQ(config.mlp_width, 3072);
  EXPECT_EQ(config.mixture.in_block, (std::vector<bool>{false, true, false, false, false, true}));
  EXPECT_FALSE(HasNote(config, "'norm_topk_prob'"));
}

TEST(MixtureConfig, IsNoneWithoutExperts) {
  EXPECT_EQ(Read(WithExperts("", "siglip_vision_model", "\"num_experts\": 0")).mixture.experts, 0);
  EXPECT_EQ(Read(R"({"model_type": "vit"})").mixture.experts, 0);
}

TEST(MixtureConfig, MixtralsNameOfTheCountIsReadAndMustNotDiffer) {
  const auto read = [](const std::string& experts) {
    return Read(WithExperts(kTwoRun, "vit", experts)).mixture.experts;
  };
  EXPECT_EQ(read("\"num_local_experts\": 5"), 5);
  EXPECT_EQ(read("\"num_local_experts\": 5, \"num_experts\": 5"), 5);
  const std::string message =
      ErrorOf([&] { read("\"num_local_experts\": 5, \"num_experts\": 4"); });
  EXPECT_TRUE(Contains(message, "'num_local_experts'")) << message;
}

TEST(MixtureConfig, WrongValuesAreRefusedWithTheFieldsName) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "'num_experts_per_tok' is missing"},
      {", \"num_experts_per_tok\": 5", "'num_experts_per_tok' is 5"},
      {", \"num_experts_per_tok\": 0", "'num_experts_per_tok' is 0"},
      {std::string(kTwoRun) + ", \"decoder_sparse_step\": 0", "'decoder_sparse_step' is 0"},
      {std::string(kTwoRun) + ", \"mlp_only_layers\": [6]", "'mlp_only_layers[0]' is 6"},
      {std::string(kTwoRun) + ", \"mlp_only_layers\": [-1]", "'mlp_only_layers[0]' is -1"},
      {std::string(kTwoRun) + ", \"mlp_only_layers\": 3", "'mlp_only_layers' is 3"},
      {std::string(kTwoRun) + ", \"moe_intermediate_size\": 0", "'moe_intermediate_size' is 0"},
      {std::string(kTwoRun) + ", \"norm_topk_prob\": 1", "'norm_topk_prob' is 1"}};
  for (const auto& [fields, words] : cases) {
    EXPECT_TRUE(Contains(ErrorOfMixture(fields), words)) << ErrorOfMixture(fields);
  }
}

TEST(MixtureConfig, OtherRoutersAndSharedExpertsAreRefusedByName) {
  const std::pair<std::string, std::string> cases[] = {{"scoring_func", "\"sigmoid\""},
                                                       {"topk_method", "\"noaux_tc\""},
                                                       {"n_group", "8"},
                                                       {"topk_group", "4"},
                                                       {"routed_scaling_factor", "2.5"},
                                                       {"router_scaling_factor", "2"},
                                                       {"capacity_factor", "1.25"},
                                                       {"e_score_correction_bias", "true"},
                                                       {"num_shared_experts", "1"},
                                                       {"n_shared_experts", "2"}};
  for (const auto& [field, value] : cases) {
    const std::string fields = std::string(kTwoRun) + ", \"" + field + "\": " + value;
    EXPECT_TRUE(Contains(ErrorOfMixture(fields), "'" + field + "' is " + value))
        << ErrorOfMixture(fields);
  }
  EXPECT_NO_THROW(Mixture(std::string(kTwoRun) +
                          R"(, "scoring_func": "softmax", "routed_scaling_factor": 1.0,
                             "n_group": null, "n_shared_experts": 0)"));
}

TEST(MixtureConfig, TooManyExpertsInAllAreRefused) {
  const std::string message = ErrorOf([] {
    Read(R"({"model_type": "vit", "num_hidden_layers": 1000, "num_experts": 1024,
             "num_experts_per_tok": 2})");
  });
  EXPECT_TRUE(Contains(message, "'num_experts' is 1024 in 1000 blocks")) << message;
}

TEST(MixtureConfig, OfALanguageModelAroundTheTowerIsNotTheTowers) {
  const EncoderConfig config = Read(
      R"({"model_type": "llava", "num_experts": 8, "num_experts_per_tok": 2,
          "text_config": {"num_experts": 8},
          "vision_config": {"model_type": "clip_vision_model", "num_hidden_layers": 4}})");
  EXPECT_EQ(config.mixture.experts, 0);
}

TEST(MixtureConfig, OfATowerInsideAModelIsReadAndCutWithIt) {
  const EncoderConfig config = Read(
      R"({"model_type": "llava", "vision_config": {"model_type": "clip_vision_model",
          "num_hidden_layers": 4, "num_experts": 8, "num_experts_per_tok": 2,
          "mlp_only_layers": [0]}})");
  EXPECT_EQ(config.blocks, 3);
  EXPECT_FALSE(config.mixture.in(0));
  EXPECT_TRUE(config.mixture.in(2));
}

// Dense InternViT configs say "num_experts": 8.
TEST(MixtureConfig, OfInternVitIsIgnoredUnlessItIsUsed) {
  const auto internvl = [](const char* used) {
    return Read(std::string(R"({"model_type": "internvl_chat", "vision_config": {"num_experts": 8,
        "moe_coeff_ratio": 0.5, "moe_intermediate_size": 768, "use_moe": )") +
                used + "}}");
  };
  EXPECT_EQ(internvl("false").mixture.experts, 0);
  const std::string message = ErrorOf([&] { internvl("true"); });
  EXPECT_TRUE(Contains(message, "'use_moe' is true")) << message;
}

TEST(MixtureConfig, OfDotsIsRefusedByName) {
  for (const std::string type : {"dots3_note", "dots3_note_vision_encoder"}) {
    const std::string message = ErrorOf([&] { Read("{\"model_type\": \"" + type + "\"}"); });
    EXPECT_TRUE(Contains(message, "'" + type + "'")) << message;
    EXPECT_TRUE(Contains(message, "sigmoid")) << message;
  }
}

}  // namespace
}  // namespace w8a8::test
