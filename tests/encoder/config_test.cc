#include "runtime/encoder/config.h"

#include <gtest/gtest.h>

#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

fs::path FolderWithConfig(const std::string& config) {
  const fs::path folder = ScratchFolder("config_test");
  WriteText(folder / "config.json", config);
  return folder;
}

std::string ErrorOfConfig(const std::string& config) {
  return ErrorOf([&] { ReadEncoderConfig(FolderWithConfig(config)); });
}

// A timm folder whose weights say width 128, mlp 256, 3 blocks, patch 4, a class token.
fs::path TimmFolder(const std::string& config) {
  const fs::path folder = FolderWithConfig(config);
  OwnedTensors tensors;
  tensors["patch_embed.proj.weight"] = Zeros({128, 3, 4, 4});
  tensors["cls_token"] = Zeros({1, 1, 128});
  for (int block = 0; block < 3; ++block) {
    const std::string stem = "blocks." + std::to_string(block) + ".";
    tensors[stem + "norm1.weight"] = Zeros({128});
    tensors[stem + "mlp.fc1.weight"] = Zeros({256, 128});
  }
  WriteTensors(folder / "model.safetensors", tensors);
  return folder;
}

TEST(SiglipConfig, FieldsThatAreLeftOutTakeTheClassDefaults) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(
      R"({"model_type": "siglip", "vision_config": {"model_type": "siglip_vision_model"}})"));
  EXPECT_EQ(config.family, "siglip");
  EXPECT_EQ(config.width, 768);
  EXPECT_EQ(config.mlp_width, 3072);
  EXPECT_EQ(config.blocks, 12);
  EXPECT_EQ(config.heads, 12);
  EXPECT_EQ(config.image_height, 224);
  EXPECT_EQ(config.patch, 16);
  EXPECT_EQ(config.tokens(), 196);
  EXPECT_EQ(config.norm_eps, 1e-6f);
  EXPECT_EQ(config.activation, ActivationKind::kGeluTanh);
  EXPECT_EQ(config.pool, PoolKind::kAttentionProbe);
  EXPECT_EQ(config.prefix_tokens, 0);
}

TEST(SiglipConfig, WithoutAnyVisionConfigIsTheBaseModel) {
  EXPECT_EQ(ReadEncoderConfig(FolderWithConfig(R"({"model_type": "siglip"})")).width, 768);
}

TEST(SiglipConfig, StatedFieldsWin) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(
      R"({"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
          "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 384,
          "patch_size": 14, "hidden_act": "gelu", "vision_use_head": false})"));
  EXPECT_EQ(config.head_dim(), 72);
  EXPECT_EQ(config.tokens(), 729);  // 384 / 14 = 27.4: the rest of the image is not used
  EXPECT_EQ(config.activation, ActivationKind::kGeluErf);
  EXPECT_EQ(config.pool, PoolKind::kNone);
}

TEST(SiglipConfig, TheTowerOfALargerModelIsRead) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(
      R"({"model_type": "paligemma", "vision_config": {"model_type": "siglip_vision_model",
          "hidden_size": 1152, "num_attention_heads": 16, "vision_use_head": false}})"));
  EXPECT_EQ(config.width, 1152);
  ASSERT_FALSE(config.notes.empty());
  EXPECT_TRUE(Contains(config.notes[0], "paligemma"));
}

TEST(SiglipConfig, WrongValuesAreNamedWithTheirField) {
  EXPECT_TRUE(
      Contains(ErrorOfConfig(R"({"model_type": "siglip_vision_model", "hidden_size": "x"})"),
               "'hidden_size' is \"x\""));
  EXPECT_TRUE(
      Contains(ErrorOfConfig(R"({"model_type": "siglip", "vision_config": {"hidden_size": -3}})"),
               "'vision_config.hidden_size' is -3"));
  EXPECT_TRUE(
      Contains(ErrorOfConfig(
                   R"({"model_type": "siglip_vision_model", "hidden_size": 18446744073709551615})"),
               "'hidden_size'"));
  EXPECT_TRUE(
      Contains(ErrorOfConfig(R"({"model_type": "siglip_vision_model", "num_attention_heads": 7})"),
               "7 attention heads do not divide the width 768"));
  EXPECT_TRUE(
      Contains(ErrorOfConfig(R"({"model_type": "siglip_vision_model", "hidden_act": "relu"})"),
               "'hidden_act' is 'relu'"));
  EXPECT_TRUE(Contains(ErrorOfConfig(R"({"model_type": "siglip_vision_model", "image_size": 8})"),
                       "0 patches"));
}

TEST(Siglip2Config, NaflexHasATableAndNoImageSize) {
  EncoderConfig config = ReadEncoderConfig(FolderWithConfig(R"({"model_type": "siglip2"})"));
  EXPECT_EQ(config.family, "siglip2");
  EXPECT_TRUE(config.variable_grid);
  EXPECT_EQ(config.table_tokens(), 256);
  EXPECT_EQ(config.tokens(), 256);
  EXPECT_EQ(config.pool, PoolKind::kAttentionProbe);
  EXPECT_EQ(config.activation, ActivationKind::kGeluTanh);
  SetMaxPatches(1024, &config);
  EXPECT_EQ(config.tokens(), 1024);
  EXPECT_EQ(config.table_tokens(), 256);
  EXPECT_TRUE(Contains(config.notes.back(), "at most 1024 patches"));
  EXPECT_TRUE(Contains(
      ErrorOfConfig(R"({"model_type": "siglip2_vision_model", "num_patches": 200})"), "square"));
}

TEST(InternVitConfig, OpenGvlabsDefaultsAreThe6bEncoder) {
  const EncoderConfig config =
      ReadEncoderConfig(FolderWithConfig(R"({"model_type": "intern_vit_6b"})"));
  EXPECT_EQ(config.family, "internvit");
  EXPECT_EQ(config.width, 3200);
  EXPECT_EQ(config.mlp_width, 12800);
  EXPECT_EQ(config.blocks, 48);
  EXPECT_EQ(config.head_dim(), 128);
  EXPECT_EQ(config.tokens(), 257);
  EXPECT_EQ(config.norm, NormKind::kRmsNorm);
  EXPECT_EQ(config.activation, ActivationKind::kGeluErf);
  EXPECT_TRUE(config.qk_norm && config.layer_scale && !config.qkv_bias && !config.final_norm);
}

TEST(InternVitConfig, TheTowerOfAChatModelIsThe300mEncoder) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(
      R"({"model_type": "internvl_chat", "select_layer": -1,
          "vision_config": {"model_type": "intern_vit_6b", "hidden_size": 1024,
          "num_attention_heads": 16, "intermediate_size": 4096, "num_hidden_layers": 24,
          "image_size": 448, "qkv_bias": true, "qk_normalization": false, "use_moe": false,
          "norm_type": "layer_norm"}})"));
  EXPECT_EQ(config.tokens(), 1025);
  EXPECT_EQ(config.norm, NormKind::kLayerNorm);
  EXPECT_TRUE(config.qkv_bias && !config.qk_norm);
}

TEST(InternVitConfig, TransformersDefaultsAreThe300mEncoderWithoutQkvBias) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(R"({"model_type": "internvl"})"));
  EXPECT_EQ(config.family, "internvl-vision");
  EXPECT_EQ(config.width, 1024);
  EXPECT_EQ(config.tokens(), 1025);
  EXPECT_EQ(config.pool, PoolKind::kNone);
  EXPECT_TRUE(!config.qkv_bias && !config.qk_norm && config.layer_scale && !config.final_norm);
}

TEST(InternVitConfig, SidesMayBeListsButPatchesMustBeSquare) {
  const EncoderConfig config = ReadEncoderConfig(FolderWithConfig(
      R"({"model_type": "internvl_vision", "image_size": [224, 448], "patch_size": [14, 14]})"));
  EXPECT_EQ(config.grid_rows(), 16);
  EXPECT_EQ(config.grid_cols(), 32);
  EXPECT_TRUE(Contains(
      ErrorOfConfig(R"({"model_type": "internvl_vision", "patch_size": [14, 16]})"), "square"));
  EXPECT_TRUE(
      Contains(ErrorOfConfig(R"({"model_type": "internvl_vision", "image_size": [448, 0]})"),
               "'image_size' is [448,0]"));
}

TEST(InternVitConfig, WhatTheClassesCannotSayIsRefused) {
  EXPECT_TRUE(Contains(ErrorOfConfig(R"({"model_type": "intern_vit_6b", "norm_type": "batch"})"),
                       "'norm_type' is 'batch'"));
  EXPECT_TRUE(Contains(ErrorOfConfig(R"({"model_type": "internvl_vision",
          "use_mean_pooling": false, "norm_type": "rms_norm"})"),
                       "mixture"));
}

TEST(Config, ImagesOfAnotherSizeResizeTheTableOnlyWhereTheFamilyDoes) {
  EncoderConfig config = ReadEncoderConfig(FolderWithConfig(R"({"model_type": "internvl"})"));
  SetImageSize(448, 448, &config);
  const size_t notes = config.notes.size();
  SetImageSize(224, 448, &config);
  EXPECT_EQ(config.tokens(), 16 * 32 + 1);
  EXPECT_EQ(config.table_tokens(), 1025);
  ASSERT_EQ(config.notes.size(), notes + 1);
  EXPECT_TRUE(Contains(config.notes.back(), "resized from 32x32 to 16x32 (bicubic)"));
  EXPECT_TRUE(Contains(ErrorOf([&] { SetImageSize(13, 448, &config); }), "0 patches"));
  EncoderConfig siglip = ReadEncoderConfig(FolderWithConfig(R"({"model_type": "siglip"})"));
  EXPECT_TRUE(Contains(ErrorOf([&] { SetImageSize(384, 384, &siglip); }),
                       "images of 224x224 (height x width), not 384x384"));
}

TEST(Config, BrokenJsonIsNamedWithTheFile) {
  EXPECT_TRUE(Contains(ErrorOfConfig("{\"model_type\": "), "config.json: not valid JSON"));
  EXPECT_TRUE(Contains(ErrorOfConfig("[1]"), "expected a JSON object"));
  EXPECT_TRUE(Contains(ErrorOfConfig("{}"), "neither 'model_type' (transformers) nor"));
}

TEST(Config, FamiliesWithoutAReaderAreRefusedByName) {
  const auto of_type = [](const std::string& type) {
    return ErrorOfConfig("{\"model_type\": \"" + type + "\"}");
  };
  EXPECT_TRUE(Contains(of_type("llama"), "model_type 'llama' is not supported"));
  EXPECT_TRUE(Contains(
      ErrorOfConfig(R"({"model_type": "internvl_chat", "vision_config": {"use_moe": true}})"),
      "'use_moe' is true"));
}

TEST(Config, AHubNameIsRefusedWithTheCommandThatFetchesIt) {
  const std::string message = ErrorOf([] { ReadEncoderConfig("google/siglip-base-patch16-224"); });
  EXPECT_TRUE(Contains(message,
                       "hf download google/siglip-base-patch16-224 --local-dir "
                       "siglip-base-patch16-224"))
      << message;
}

TEST(Config, APathThatIsNoFolderIsRefusedWithoutADownloadCommand) {
  EXPECT_FALSE(Contains(ErrorOf([] { ReadEncoderConfig("./no/such"); }), "hf download"));
  const fs::path folder = FolderWithConfig("{}");
  EXPECT_TRUE(Contains(ErrorOf([&] { ReadEncoderConfig(folder / "config.json"); }), "is a file"));
}

TEST(Config, PickledWeightsAreRefusedWithTheCommandThatConvertsThem) {
  for (const char* name : {"pytorch_model.bin", "model.pth"}) {
    const fs::path folder = FolderWithConfig(R"({"model_type": "siglip"})");
    WriteText(folder / name, "pickle");
    const std::string message = ErrorOf([&] { ReadEncoderConfig(folder); });
    EXPECT_TRUE(Contains(message, "python3 -c")) << message;
    EXPECT_TRUE(Contains(message, (folder / "model.safetensors").string())) << message;
  }
}

TEST(TimmConfig, OfTwoTowersTheChosenOnesShapesAreRead) {
  const fs::path folder = TimmFolder(R"({"architecture": "vit_base_patch4_8", "num_classes": 0})");
  EditTensors(folder, [](OwnedTensors& tensors) {
    const OwnedTensors whole = tensors;
    for (const auto& [key, tensor] : whole) tensors["ema." + key] = tensor;
    tensors["ema.patch_embed.proj.weight"] = Zeros({240, 3, 4, 4});
  });
  EXPECT_TRUE(Contains(ErrorOf([&] { ReadEncoderConfig(folder); }), "several vision towers"));
  EXPECT_EQ(ReadEncoderConfig(folder, "ema.").width, 240);
  EXPECT_TRUE(Contains(ErrorOf([&] { ReadEncoderConfig(folder, "."); }), "heads do not divide"));
}

TEST(TimmConfig, SizesComeFromTheWeightsAndHeadsFromTheName) {
  const EncoderConfig config = ReadEncoderConfig(TimmFolder(
      R"({"architecture": "vit_large_patch16_224", "num_classes": 7,
          "pretrained_cfg": {"input_size": [3, 12, 20]}})"));
  EXPECT_EQ(config.family, "timm-vit");
  EXPECT_EQ(config.width, 128);
  EXPECT_EQ(config.mlp_width, 256);
  EXPECT_EQ(config.blocks, 3);
  EXPECT_EQ(config.patch, 4);
  EXPECT_EQ(config.tokens(), 3 * 5 + 1);
  EXPECT_EQ(config.heads, 16);
  EXPECT_EQ(config.classes, 7);
  EXPECT_EQ(config.activation, ActivationKind::kGeluErf);
  EXPECT_EQ(config.pool, PoolKind::kFirstToken);
}

TEST(TimmConfig, OldConfigsHaveTheFieldsBesideTheArchitecture) {
  const EncoderConfig config = ReadEncoderConfig(
      TimmFolder(R"({"architecture": "vit_large_patch16_224", "input_size": [3, 12, 20]})"));
  EXPECT_EQ(config.tokens(), 3 * 5 + 1);
}

TEST(TimmConfig, HeadsComeFromModelArgsThenTheNameThenTheWidth) {
  const std::string size = R"("pretrained_cfg": {"input_size": [3, 8, 8]})";
  const EncoderConfig stated = ReadEncoderConfig(
      TimmFolder(R"({"architecture": "vit_small_patch16_224", "model_args": {"num_heads": 4}, )" +
                 size + "}"));
  EXPECT_EQ(stated.heads, 4);
  const EncoderConfig named =
      ReadEncoderConfig(TimmFolder(R"({"architecture": "vit_huge_patch14_224", )" + size + "}"));
  EXPECT_EQ(named.heads, 16);  // 80 wide in the real one
  const EncoderConfig assumed =
      ReadEncoderConfig(TimmFolder(R"({"architecture": "vit_wee_patch4_8", )" + size + "}"));
  EXPECT_EQ(assumed.heads, 2);
  ASSERT_EQ(assumed.notes.size(), 1u);
  EXPECT_TRUE(Contains(assumed.notes[0], "64 wide"));
}

TEST(TimmConfig, EmptyTensorsAreRefusedBeforeAnythingIsDividedByTheirSizes) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{128, 3, 0, 0}, {0, 3, 4, 4}, {128, 0, 4, 4}}) {
    const fs::path folder = TimmFolder(R"({"architecture": "vit_large_patch16_224"})");
    EditTensors(folder,
                [&](OwnedTensors& tensors) { tensors["patch_embed.proj.weight"] = Zeros(shape); });
    EXPECT_TRUE(Contains(ErrorOf([&] { ReadEncoderConfig(folder); }), "none may be 0"));
  }
}

TEST(TimmConfig, MeanPoolingMovesTheNormBehindTheMean) {
  const EncoderConfig config = ReadEncoderConfig(TimmFolder(
      R"({"architecture": "vit_large_patch4_8", "global_pool": "avg",
          "pretrained_cfg": {"input_size": [3, 8, 8]}})"));
  EXPECT_EQ(config.pool, PoolKind::kMean);
  EXPECT_TRUE(config.pool_norm);
  EXPECT_FALSE(config.final_norm);
}

TEST(TimmConfig, VariantsThatComputeSomethingElseAreRefusedByName) {
  for (const char* name : {"vit_base_patch16_clip_224", "vit_base_patch16_siglip_224", "resnet50",
                           "vit_small_patch14_reg4_dinov2", "deit3_base_patch16_224"}) {
    const std::string message = ErrorOfConfig(std::string("{\"architecture\": \"") + name + "\"}");
    EXPECT_TRUE(Contains(message, name)) << message;
    EXPECT_TRUE(Contains(message, "not supported")) << message;
  }
  EXPECT_TRUE(Contains(
      ErrorOfConfig(
          R"({"architecture": "vit_base_patch16_224", "model_args": {"act_layer": "silu"}})"),
      "'model_args.act_layer' is not supported"));
}

TEST(TimmConfig, TheRealModelIsReadWhole) {
  if (DataFolder().empty()) W8A8_SKIP_OR_FAIL("data", "set W8A8_DATA");
  const EncoderConfig config = ReadEncoderConfig(VitTinyFolder());
  EXPECT_EQ(config.width, 192);
  EXPECT_EQ(config.heads, 3);
  EXPECT_EQ(config.blocks, 12);
  EXPECT_EQ(config.tokens(), 197);
  EXPECT_EQ(config.classes, 1000);
  EXPECT_TRUE(config.notes.empty());
}

}  // namespace
}  // namespace w8a8::test
