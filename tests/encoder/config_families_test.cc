// What the configs of transformers' encoders say, and what is filled in where they say nothing.
#include <gtest/gtest.h>

#include "runtime/encoder/config.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

EncoderConfig Read(const std::string& json) {
  const fs::path folder = ScratchFolder("config_families");
  WriteText(folder / "config.json", json);
  return ReadEncoderConfig(folder);
}

std::string ErrorOfReading(const std::string& json) {
  return ErrorOf([&] { Read(json); });
}

bool HasNote(const EncoderConfig& config, const std::string& words) {
  for (const std::string& note : config.notes) {
    if (Contains(note, words)) return true;
  }
  return false;
}

TEST(ClipConfig, DefaultsAreThoseOfTheVisionClass) {
  const EncoderConfig config = Read(R"({"model_type": "clip_vision_model"})");
  EXPECT_EQ(config.width, 768);
  EXPECT_EQ(config.tokens(), 49 + 1);
  EXPECT_EQ(config.norm_eps, 1e-5f);
  EXPECT_EQ(config.activation, ActivationKind::kQuickGelu);
  EXPECT_EQ(config.pool, PoolKind::kFirstToken);
  EXPECT_EQ(config.projection, 0);
  EXPECT_TRUE(config.pre_norm && config.pool_norm && !config.final_norm && !config.patch_bias);
}

TEST(ClipConfig, AWholeClipProjectsItsClassToken) {
  const EncoderConfig whole = Read(
      R"({"model_type": "clip", "projection_dim": 768, "vision_config": {"hidden_size": 1024,
          "num_attention_heads": 16, "projection_dim": 512, "hidden_act": "gelu"}})");
  EXPECT_EQ(whole.projection, 768);
  EXPECT_EQ(whole.activation, ActivationKind::kGeluErf);  // LAION's
  EXPECT_TRUE(HasNote(whole, "projected to 768"));
  const EncoderConfig tower = Read(
      R"({"model_type": "clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"],
          "projection_dim": 640})");
  EXPECT_EQ(tower.projection, 640);
}

TEST(VitConfig, DefaultsAreThoseOfTheClassAndTheClassifierFollowsTheArchitecture) {
  const EncoderConfig bare = Read(R"({"model_type": "vit"})");
  EXPECT_EQ(bare.norm_eps, 1e-12f);
  EXPECT_EQ(bare.activation, ActivationKind::kGeluErf);
  EXPECT_EQ(bare.tokens(), 197);
  EXPECT_EQ(bare.classes, 0);
  EXPECT_EQ(bare.pooler, 768);
  const EncoderConfig classifier = Read(
      R"({"model_type": "vit", "architectures": ["ViTForImageClassification"],
          "id2label": {"0": "cat", "1": "dog", "2": "owl"}})");
  EXPECT_EQ(classifier.classes, 3);
  EXPECT_TRUE(classifier.final_norm && !classifier.distilled_head);
  EXPECT_EQ(classifier.pooler, 0);
}

TEST(VitConfig, ThePoolerIsOneOfTanhAndOfItsOwnWidth) {
  EXPECT_EQ(Read(R"({"model_type": "vit", "pooler_output_size": 40})").pooler, 40);
  EXPECT_EQ(Read(R"({"model_type": "deit", "pooler_output_size": null})").pooler, 768);
  EXPECT_TRUE(Contains(ErrorOfReading(R"({"model_type": "vit", "pooler_act": "gelu"})"),
                       "'pooler_act' is 'gelu'; only tanh"));
}

// transformers 4.57 and 5.24 alike: the names count, whatever num_labels says.
TEST(Classifiers, HaveAsManyClassesAsNamesElseNumLabelsElseTwo) {
  const std::string vit = R"({"model_type": "vit", "architectures": ["ViTForImageClassification"])";
  EXPECT_EQ(Read(vit + R"(, "num_labels": 7, "id2label": {"0": "cat", "1": "dog"}})").classes, 2);
  EXPECT_EQ(Read(vit + R"(, "num_labels": 7})").classes, 7);
  EXPECT_EQ(Read(vit + "}").classes, 2);
  const EncoderConfig none = Read(vit + R"(, "num_labels": 0})");
  EXPECT_TRUE(none.classes == 0 && HasNote(none, "no classifier is run"));
}

TEST(Classifiers, OfWholeModelsAndOfDinov2ReadTheMeanOfThePatches) {
  for (const std::string type : {"clip", "siglip", "siglip2"}) {
    const std::string name = type == "clip" ? "CLIP" : type == "siglip" ? "Siglip" : "Siglip2";
    const EncoderConfig config =
        Read(R"({"num_labels": 5, "model_type": ")" + type + R"(", "architectures": [")" + name +
             R"(ForImageClassification"]})");
    EXPECT_TRUE(config.classes == 5 && config.projection == 0) << type;
    EXPECT_EQ(config.head_input, HeadInput::kMeanOfPatches) << type;
  }
  for (const std::string name : {"Dinov2", "Dinov2WithRegisters"}) {
    const std::string type = name == "Dinov2" ? "dinov2" : "dinov2_with_registers";
    const EncoderConfig config =
        Read(R"({"num_labels": 5, "model_type": ")" + type + R"(", "architectures": [")" + name +
             R"(ForImageClassification"]})");
    EXPECT_EQ(config.classes, 5) << name;
    EXPECT_EQ(config.head_input, HeadInput::kPooledAndMean) << name;
  }
}

TEST(DeitConfig, HasADistillationTokenAndWithATeacherTwoClassifiers) {
  const EncoderConfig one =
      Read(R"({"model_type": "deit", "architectures": ["DeiTForImageClassification"]})");
  EXPECT_EQ(one.tokens(), 198);
  EXPECT_EQ(one.table_tokens(), 198);
  EXPECT_TRUE(one.classes == 2 && !one.distilled_head);
  const EncoderConfig two =
      Read(R"({"model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"]})");
  EXPECT_TRUE(two.classes == 2 && two.distilled_head);
}

TEST(Dinov2Config, SwigluKeepsTwoThirdsOfTheMlpInMultiplesOf8) {
  const EncoderConfig plain = Read(R"({"model_type": "dinov2", "image_size": 518})");
  EXPECT_EQ(plain.mlp_width, 3072);
  EXPECT_EQ(plain.tokens(), 37 * 37 + 1);
  EXPECT_TRUE(plain.layer_scale && plain.final_norm && !plain.gated_mlp);
  const EncoderConfig giant = Read(
      R"({"model_type": "dinov2", "hidden_size": 1536, "num_attention_heads": 24,
          "num_hidden_layers": 40, "use_swiglu_ffn": true})");
  EXPECT_EQ(giant.mlp_width, 4096);
  EXPECT_TRUE(giant.gated_mlp);
  EXPECT_EQ(giant.activation, ActivationKind::kSilu);
  EXPECT_TRUE(
      Contains(ErrorOfReading(R"({"model_type": "dinov2", "mlp_ratio": 0})"), "'mlp_ratio' is 0"));
}

TEST(Dinov2Config, RegistersHaveNoRowInTheTableWhichIsResizedWithAntialias) {
  EncoderConfig config = Read(R"({"model_type": "dinov2_with_registers", "image_size": 518,
                                  "patch_size": 14})");
  EXPECT_EQ(config.registers, 4);
  EXPECT_EQ(config.tokens(), 37 * 37 + 5);
  EXPECT_EQ(config.table_tokens(), 37 * 37 + 1);
  SetImageSize(224, 224, &config);
  EXPECT_EQ(config.tokens(), 256 + 5);
  EXPECT_TRUE(HasNote(config, "resized from 37x37 to 16x16 (bicubic, antialiased)"));
}

// A tower of 4 blocks inside a model of `type`, with further fields of the whole.
EncoderConfig ReadInside(const std::string& type, const std::string& vision_type,
                         const std::string& fields = "") {
  return Read("{\"model_type\": \"" + type + "\"" + fields +
              ", \"vision_config\": {\"model_type\": \"" + vision_type +
              "\", \"num_hidden_layers\": 4}}");
}

TEST(VisionLanguageModel, ThoseThatReadNormedTokensKeepTheNormAndDropThePoolingHead) {
  for (const char* type : {"paligemma", "gemma3"}) {
    const EncoderConfig config = ReadInside(type, "siglip_vision_model");
    EXPECT_EQ(config.blocks, 4);
    EXPECT_EQ(config.pool, PoolKind::kNone);
    EXPECT_TRUE(config.final_norm);
    EXPECT_TRUE(HasNote(config, "reads the tokens behind the final norm")) << type;
  }
}

TEST(VisionLanguageModel, OfAnyTowerOnlyTheTokensAreRead) {
  for (const char* type : {"paligemma", "gemma3", "llava_onevision"}) {
    for (const char* tower :
         {R"("clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"])",
          R"("vit", "architectures": ["ViTForImageClassification"])"}) {
      const EncoderConfig config = Read(std::string(R"({"model_type": ")") + type +
                                        R"(", "vision_config": {"model_type": )" + tower + "}}");
      EXPECT_TRUE(config.pool == PoolKind::kNone && !config.pool_norm) << type << tower;
      EXPECT_TRUE(config.projection == 0 && config.classes == 0) << type << tower;
    }
  }
}

TEST(VisionLanguageModel, TheSelectedLayerIsTheLastBlockAndItsOutputIsNotNormed) {
  const EncoderConfig onevision = ReadInside("llava_onevision", "siglip_vision_model");
  EXPECT_EQ(onevision.blocks, 4);
  EXPECT_TRUE(!onevision.final_norm && onevision.pool == PoolKind::kNone);
  EXPECT_TRUE(HasNote(onevision, "output of block 4 of 4 without a final norm"));
  const EncoderConfig llava = ReadInside("llava", "clip_vision_model");
  EXPECT_EQ(llava.blocks, 3);
  EXPECT_TRUE(!llava.pool_norm && llava.pool == PoolKind::kNone);
  EXPECT_EQ(ReadInside("llava", "clip_vision_model", R"(, "vision_feature_layer": 2)").blocks, 2);
  EXPECT_TRUE(HasNote(ReadInside("internvl_chat", "intern_vit_6b"), "tokens of the last block"));
  EXPECT_EQ(ReadInside("internvl_chat", "intern_vit_6b", R"(, "select_layer": -3)").blocks, 2);
}

TEST(VisionLanguageModel, LayersThatTheTowerDoesNotHaveAreRefused) {
  for (const char* layer : {"5", "0", "-5", "[-2, -1]"}) {
    const std::string message = ErrorOf([&] {
      ReadInside("llava", "clip_vision_model", std::string(", \"vision_feature_layer\": ") + layer);
    });
    EXPECT_TRUE(Contains(message, "'vision_feature_layer' is")) << layer << ": " << message;
  }
}

TEST(VisionLanguageModel, Idefics3sBucketsAreTheTableWhereTheyAreExact) {
  const EncoderConfig exact = Read(R"({"model_type": "smolvlm", "vision_config":
      {"model_type": "smolvlm_vision", "image_size": 512, "patch_size": 16}})");
  EXPECT_EQ(exact.family, "siglip");
  EXPECT_EQ(exact.tokens(), 1024);
  EXPECT_EQ(exact.pool, PoolKind::kNone);
  EXPECT_TRUE(Contains(ErrorOfReading(R"({"model_type": "idefics3", "vision_config":
      {"model_type": "idefics3_vision", "image_size": 400, "patch_size": 16}})"),
                       "grid of 25x25"));
}

TEST(VisionLanguageModel, VilasTowerIsFoundInItsFolderAndItsLastBlockIsLeftOut) {
  const fs::path folder = ScratchFolder("vila");
  fs::create_directories(folder / "vision_tower");
  WriteText(folder / "config.json",
            R"({"model_type": "llava_llama", "mm_vision_select_layer": -2})");
  WriteText(folder / "vision_tower/config.json",
            R"({"model_type": "siglip_vision_model", "num_hidden_layers": 27})");
  for (const fs::path& given : {folder, folder / "vision_tower"}) {
    const EncoderConfig config = ReadEncoderConfig(given);
    EXPECT_EQ(config.blocks, 26);
    EXPECT_FALSE(config.final_norm);
    EXPECT_TRUE(HasNote(config, "mm_vision_select_layer -2"));
  }
}

TEST(Families, RotaryEncodersAreRefusedWithTheReason) {
  for (const char* type : {"dinov3_vit", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"}) {
    EXPECT_TRUE(Contains(ErrorOfReading(std::string("{\"model_type\": \"") + type + "\"}"),
                         "rotary positions"))
        << type;
  }
}

}  // namespace
}  // namespace w8a8::test
