// CuMo's folders: LLaVA's config around a CLIP tower whose sizes only the tensors tell.
#include <algorithm>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/encoder/graph.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/weights.h"
#include "tests/encoder/mixture_models.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTower = "model.vision_tower.vision_model.";

std::string ErrorOfConfig(const std::string& name, const std::string& config) {
  const fs::path folder = CumoFolder(name, 2, 2);
  WriteText(folder / "config.json", config);
  return ErrorOf([&] { ReadEncoderConfig(folder); });
}

std::string ErrorOfWeights(const fs::path& folder) {
  return ErrorOf([&] { const EncoderWeights weights(folder, ReadEncoderConfig(folder)); });
}

int64_t Sites(const EncoderConfig& config) {
  const CheckpointLayout layout = LayoutOf(config);
  return std::ranges::count_if(layout.linears, &LinearLayout::site);
}

bool HasNote(const EncoderConfig& config, const std::string& words) {
  return std::ranges::any_of(config.notes,
                             [&](const std::string& note) { return Contains(note, words); });
}

TEST(Cumo, AllBlocksButTheLastRunWithTheirExperts) {
  const fs::path folder = CumoFolder("cumo", 24, 4, ", \"mm_hidden_size\": 64, \"scales\": [1, 3]");
  const EncoderConfig config = ReadEncoderConfig(folder);
  EXPECT_EQ(config.family, "clip");
  EXPECT_EQ(config.width, 64);
  EXPECT_EQ(config.mlp_width, 48);
  EXPECT_EQ(config.heads, 1);
  EXPECT_EQ(config.patch, 28);
  EXPECT_EQ(config.image_height, 112);
  EXPECT_EQ(config.activation, ActivationKind::kQuickGelu);
  EXPECT_EQ(config.norm_eps, 1e-5f);
  EXPECT_EQ(config.blocks, 23);
  EXPECT_EQ(config.unread_blocks, 1);
  EXPECT_EQ(config.unread_tokens, 1);
  EXPECT_TRUE(config.pre_norm && !config.final_norm && !config.pool_norm);
  EXPECT_EQ(config.pool, PoolKind::kNone);
  EXPECT_EQ(config.mixture.experts, 4);
  EXPECT_EQ(config.mixture.chosen, 2);
  EXPECT_TRUE(config.mixture.renormalized && !config.mixture.gated);
  EXPECT_EQ(config.mixture.width, 48);
  EXPECT_EQ(Sites(config), 230);
  EXPECT_EQ(BuildGraph(config).Sites().size(), 230u);
  EXPECT_TRUE(HasNote(config, "what enters block 24 of 24"));
  EXPECT_TRUE(HasNote(config, "sizes read from the tensors"));
  EXPECT_TRUE(HasNote(config, "'scales' [1,3], 'image_aspect_ratio' \"pad\""));
  const EncoderWeights weights(folder, config);
  EXPECT_EQ(weights.prefix(), kTower);
  EXPECT_TRUE(weights.notes().empty());
  EXPECT_EQ(weights.Vector("blocks.22.mlp.router", "").size(), 4u * 64);
  EXPECT_EQ(weights.Linear("blocks.22.mlp.experts.3.fc1").bias.size(), 48u);
  EXPECT_EQ(weights.Source("blocks.5.mlp.experts.1.fc2").stems.front(),
            std::string(kTower) + "encoder.layers.5.experts.1.fc2");
}

TEST(Cumo, WithoutExpertsIsADenseTowerWhateverTheProjectorHas) {
  const fs::path folder = CumoFolder("cumo_dense", 3, 0);
  const EncoderConfig config = ReadEncoderConfig(folder);
  EXPECT_EQ(config.mixture.experts, 0);
  EXPECT_EQ(config.mlp_width, 48);
  EXPECT_EQ(config.blocks, 2);
  EXPECT_EQ(Sites(config), 8);
  EXPECT_TRUE(EncoderWeights(folder, config).notes().empty());
}

TEST(Cumo, AVisionConfigThatSomebodyAddedWins) {
  const fs::path folder = CumoFolder(
      "cumo_vision", 3, 2,
      R"(, "vision_config": {"hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 3,
           "num_attention_heads": 4, "image_size": 112, "patch_size": 28,
           "architectures": ["CLIPVisionModelWithProjection"]})");
  const EncoderConfig config = ReadEncoderConfig(folder);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.blocks, 2);
  EXPECT_EQ(config.projection, 0);
  EXPECT_EQ(Sites(config), 2 * (2 + 2 * 2));
  EXPECT_NO_THROW(EncoderWeights(folder, config));
}

TEST(Cumo, TheClassTokenIsReadWhereTheConfigSaysSo) {
  const fs::path folder = CumoFolder("cumo_cls", 2, 0);
  WriteText(folder / "config.json",
            R"({"model_type": "llava_mixtral", "clip_smoe": false, "num_local_experts": 8,
                "mm_vision_tower": "openai/clip-vit-large-patch14-336",
                "mm_vision_select_feature": "cls_patch"})");
  EXPECT_EQ(ReadEncoderConfig(folder).unread_tokens, 0);
}

TEST(Cumo, WhatItsConfigLacksIsRefusedByName) {
  const std::string start = R"({"model_type": "llava_mistral", )";
  const std::string tower = R"("mm_vision_tower": "openai/clip-vit-large-patch14-336")";
  const std::pair<std::string, std::string> cases[] = {
      {R"("clip_smoe": true, "num_selected": 2, )" + tower, "'num_experts' is missing"},
      {R"("clip_smoe": true, "num_experts": 2, )" + tower, "'num_selected' is missing"},
      {R"("clip_smoe": true, "num_experts": 2, "num_selected": 3, )" + tower,
       "'num_selected' is 3"},
      {R"("clip_smoe": true, "num_experts": 2, "num_selected": 2, "mm_hidden_size": 1024, )" +
           tower,
       "'mm_hidden_size' is 1024"},
      {R"("clip_smoe": true, "num_experts": 2, "num_selected": 2, "mm_vision_select_feature": 3, )" +
           tower,
       "'mm_vision_select_feature' is 3"},
      {R"("clip_smoe": true, "num_experts": 2, "num_selected": 2)", "'mm_vision_tower' is ''"},
      {R"("clip_smoe": true, "mm_vision_tower": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K")",
       "'mm_vision_tower' is 'laion"},
      {R"("clip_smoe": true, "mm_vision_tower": "../clip-vit-large-patch14")",
       "'mm_vision_tower' is '../clip"}};
  for (const auto& [fields, words] : cases) {
    const std::string message = ErrorOfConfig("cumo_refused", start + fields + "}");
    EXPECT_TRUE(Contains(message, words)) << message;
  }
}

TEST(Cumo, LlavaOfMistralWithoutItsKeyIsAnotherModel) {
  const std::string message = ErrorOfConfig("cumo_llava", R"({"model_type": "llava_mistral"})");
  EXPECT_TRUE(Contains(message, "model_type 'llava_mistral' is not supported")) << message;
}

TEST(Cumo, AnEarlierStagesPicklesAreRefused) {
  const fs::path folder = CumoFolder("cumo_pickles", 2, 2);
  fs::rename(folder / "model.safetensors", folder / "clip.bin");
  const std::string message = ErrorOf([&] { ReadEncoderConfig(folder); });
  EXPECT_TRUE(Contains(message, "clip.bin")) << message;
}

TEST(Cumo, TheBlockThatIsNotRunIsCheckedLikeTheOthers) {
  const std::string last = std::string(kTower) + "encoder.layers.1.";
  const fs::path missing = CumoFolder("cumo_missing", 2, 2);
  EditTensors(missing, [&](OwnedTensors& t) { t.erase(last + "experts.1.fc2.bias"); });
  EXPECT_TRUE(Contains(ErrorOfWeights(missing), last + "experts.1.fc2.bias"));
  const fs::path misshapen = CumoFolder("cumo_misshapen", 2, 2);
  EditTensors(misshapen, [&](OwnedTensors& t) { t[last + "gate.weight"] = Zeros({3, 64}); });
  EXPECT_TRUE(Contains(ErrorOfWeights(misshapen), last + "gate.weight' has shape [3, 64]"));
  const fs::path surplus = CumoFolder("cumo_surplus", 2, 2);
  EditTensors(surplus, [&](OwnedTensors& t) { t[last + "experts.2.fc1.bias"] = Zeros({48}); });
  EXPECT_TRUE(Contains(ErrorOfWeights(surplus), last + "experts.2.fc1.bias"));
  for (const std::string key : {"experts.0.fc1.weight", "gate.weight", "layer_norm1.bias"}) {
    const fs::path infinite = CumoFolder("cumo_infinite", 2, 2);
    EditTensors(infinite, [&](OwnedTensors& t) {
      const float value = std::numeric_limits<float>::infinity();
      std::memcpy(t.at(last + key).bytes.data(), &value, sizeof value);
    });
    EXPECT_TRUE(Contains(ErrorOfWeights(infinite), last + key + "' holds inf")) << key;
  }
}

TEST(Cumo, ADenseConfigOfATowerWithExpertsIsRefusedAndTheOtherWayRound) {
  const fs::path experts = CumoFolder("cumo_two", 2, 2);
  EncoderConfig config = ReadEncoderConfig(experts);
  config.mixture = {};
  const std::string dense = ErrorOf([&] { const EncoderWeights weights(experts, config); });
  EXPECT_TRUE(Contains(dense, "experts.0.fc1.bias' belongs to an expert")) << dense;
  const fs::path both = CumoFolder("cumo_both", 2, 2);
  EditTensors(both, [](OwnedTensors& tensors) {
    tensors[std::string(kTower) + "encoder.layers.0.mlp.fc1.bias"] = Zeros({48});
  });
  EXPECT_TRUE(Contains(ErrorOfWeights(both), "mlp.fc1.bias' is of a dense MLP"))
      << ErrorOfWeights(both);
}

TEST(Cumo, CodesOfTheBlockThatIsNotRunAreNoSite) {
  const fs::path folder = CumoFolder("cumo_codes", 2, 2);
  EditTensors(folder, [](OwnedTensors& tensors) {
    QuantizeStem(tensors, std::string(kTower) + "encoder.layers.1.experts.0.fc1", 48, 64);
  });
  const EncoderWeights weights(folder, ReadEncoderConfig(folder));
  EXPECT_FALSE(weights.quantized());
  for (const std::string& note : weights.notes()) EXPECT_FALSE(Contains(note, "dequantized"));
}

}  // namespace
}  // namespace w8a8::test
