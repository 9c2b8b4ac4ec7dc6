// Encoders inside vision-language models: exactly what the model reads, or a refusal by name.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/atomic_file.h"
#include "runtime/encoder/config.h"
#include "runtime/encoder/vlm_table.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

EncoderConfig Read(const std::string& json) {
  const fs::path folder = ScratchFolder("vlm");
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

// A tower of 4 blocks inside a model of `type`, with further fields of the whole.
std::string Inside(const std::string& type, const std::string& vision_type,
                   const std::string& fields = "") {
  return "{\"model_type\": \"" + type + "\"" + fields + ", \"vision_config\": {\"model_type\": \"" +
         vision_type + "\", \"num_hidden_layers\": 4}}";
}

// What transformers' classes read of tiny towers (scripts/goldens/vlm_goldens.py).
TEST(VisionLanguageModel, ReadsWhatTransformersReads) {
  const auto golden =
      nlohmann::json::parse(ReadFile(GoldenFolder() / "encoder" / "vlm_reads.json"));
  ASSERT_GT(golden.at("entries").size(), 100u);
  for (const nlohmann::json& entry : golden.at("entries")) {
    const std::string config = entry.at("config").dump();
    if (entry.contains("several")) {
      EXPECT_TRUE(Contains(ErrorOfReading(config), "several")) << config;
      continue;
    }
    const EncoderConfig read = Read(config);
    EXPECT_EQ(read.blocks, entry.at("blocks")) << config;
    EXPECT_EQ(read.final_norm, entry.at("final_norm")) << config;
    EXPECT_EQ(read.unread_tokens, entry.at("unread_tokens")) << config;
    EXPECT_TRUE(read.pooled_unread && read.classes == 0 && read.projection == 0) << config;
  }
}

TEST(VisionLanguageModel, ThatIsNotKnownIsTakenAtTheWordOfItsConfigAndSaysSo) {
  const EncoderConfig tokens = Read(Inside("my_vlm", "siglip_vision_model"));
  EXPECT_TRUE(tokens.pool == PoolKind::kNone && tokens.final_norm && tokens.blocks == 4);
  EXPECT_TRUE(HasNote(tokens, "'my_vlm' is not known here and taken to read the tokens behind"));
  const EncoderConfig layer =
      Read(Inside("my_vlm", "clip_vision_model",
                  R"(, "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch")"));
  EXPECT_TRUE(layer.blocks == 3 && layer.unread_tokens == 1 && layer.pool == PoolKind::kNone);
  EXPECT_TRUE(HasNote(layer, "without the class token (mm_vision_select_layer -2)"));
  // InternVL's -1 stands for the tokens behind the final norm, LLaVA's for those before it.
  EXPECT_TRUE(Read(Inside("my_vlm", "dinov2", R"(, "select_layer": -1)")).final_norm);
  EXPECT_FALSE(Read(Inside("my_vlm", "dinov2", R"(, "vision_feature_layer": -1)")).final_norm);
  EXPECT_TRUE(Contains(ErrorOfReading(R"({"model_type": "my_vlm", "vision_config": {}})"),
                       "the 'vision_config' of a 'my_vlm' checkpoint states no 'model_type'"));
}

TEST(VisionLanguageModel, ThatIsNotReadButHoldsASupportedTowerNamesTheWayOut) {
  const auto refused = [](const std::string& type, const std::string& parts) {
    return ErrorOfReading("{\"model_type\": \"" + type + "\", " + parts + "}");
  };
  const std::string siglip = R"("vision_config": {"model_type": "siglip_vision_model"})";
  for (const auto& [message, place] :
       {std::pair{refused("t5gemma2", "\"encoder\": {\"model_type\": \"x\", " + siglip + "}"),
                  "encoder.vision_config"},
        std::pair{
            refused("colpali", "\"vlm_config\": {\"model_type\": \"paligemma\", " + siglip + "}"),
            "vlm_config.vision_config"},
        std::pair{refused("vision-encoder-decoder", R"("encoder": {"model_type": "vit"},
                                                        "decoder": {"model_type": "gpt2"})"),
                  "encoder"}}) {
    EXPECT_TRUE(Contains(message, std::string("but the tower in its '") + place + "' is"))
        << message;
    EXPECT_TRUE(Contains(message, "Save the vision tower as a folder of its own")) << message;
  }
  const std::string swin =
      refused("vision-encoder-decoder", R"("encoder": {"model_type": "swin"})");
  EXPECT_FALSE(Contains(swin, "Save the vision tower")) << swin;
}

TEST(VisionLanguageModel, FieldsWhoseMeaningIsNotKnownAreRefusedByName) {
  for (const char* field :
       {"\"vision_layers_used\": [1, 2]", "\"spatial_vision_layer\": -1",
        "\"drop_vision_last_layer\": true", "\"image_feature_layer\": 3", "\"select_layers\": 3",
        "\"feature_select_mode\": \"cls\"", "\"deepstack_layer_map\": {\"1\": 2}"}) {
    const std::string name = std::string(field).substr(1, std::string(field).find(':') - 2);
    const std::string message =
        ErrorOfReading(Inside("my_vlm", "clip_vision_model", std::string(", ") + field));
    EXPECT_TRUE(Contains(message, "'" + name + "' is")) << message;
    EXPECT_TRUE(Contains(message, "Save the vision tower as a folder of its own")) << message;
  }
  for (const char* field :
       {"\"drop_vision_last_layer\": false", "\"vision_layer\": null", "\"num_hidden_layers\": 3",
        "\"projector_layer_norm\": 1", "\"cross_layer_interval\": 2", "\"expert_selection\": 1"}) {
    Read(Inside("my_vlm", "clip_vision_model", std::string(", ") + field));
  }
}

TEST(VisionLanguageModel, SelectionsThatContradictEachOtherOrStandInsideTheTowerAreRefused) {
  EXPECT_TRUE(Contains(
      ErrorOfReading(Inside("my_vlm", "clip_vision_model",
                            R"(, "vision_feature_layer": -2, "mm_vision_select_layer": -1)")),
      "the same layer as mm_vision_select_layer -1"));
  EXPECT_TRUE(Contains(ErrorOfReading(R"({"model_type": "my_vlm", "vision_config":
                           {"model_type": "dinov2", "select_layer": 3}})"),
                       "'vision_config.select_layer' is 3; expected none inside the tower's own"));
  for (const char* strategy : {"\"cls\"", "\"cls_only\"", "2", "\"Default\""}) {
    EXPECT_TRUE(Contains(
        ErrorOfReading(Inside("llava", "clip_vision_model",
                              std::string(", \"vision_feature_select_strategy\": ") + strategy)),
        std::string("'vision_feature_select_strategy' is ") + strategy))
        << strategy;
  }
}

TEST(VisionLanguageModel, VipllavasFieldHasBothItsNames) {
  EXPECT_EQ(
      Read(Inside("vipllava", "clip_vision_model", R"(, "vision_feature_layers": [-3])")).blocks,
      2);
  EXPECT_TRUE(Contains(ErrorOfReading(Inside("vipllava", "clip_vision_model")), "several layers"));
}

// transformers: get_image_features takes [:, 1:], get_video_features does not.
TEST(VisionLanguageModel, VideoLlavasTowerOfVideosIsReadWithItsClassToken) {
  const fs::path folder = ScratchFolder("vlm");
  WriteText(folder / "config.json", Inside("video_llava", "clip_vision_model"));
  EXPECT_EQ(ReadEncoderConfig(folder).unread_tokens, 1);
  EXPECT_EQ(ReadEncoderConfig(folder, "model.video_tower.").unread_tokens, 0);
}

// transformers builds the tower as its base class, whatever class its config names.
TEST(VisionLanguageModel, TheClassInATowersOwnConfigIsPassedOver) {
  const EncoderConfig config = Read(R"({"model_type": "gemma3", "vision_config": {
      "model_type": "clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"]}})");
  EXPECT_EQ(config.projection, 0);
  EXPECT_FALSE(HasNote(config, "projected"));
}

TEST(VisionLanguageModel, ADroppedFirstPatchIsNoted) {
  EXPECT_TRUE(
      HasNote(Read(Inside("llava", "siglip_vision_model")), "the tower has no class token"));
  EXPECT_TRUE(Contains(ErrorOfReading(Inside("llava", "siglip2_vision_model")),
                       "drops the first token of each image"));
}

// InternVisionModel gives its class token, whoever reads the tower.
TEST(VisionLanguageModel, InternVlsChatModelKeepsTheTowersPooledOutputUnread) {
  const EncoderConfig whole = Read(Inside("internvl_chat", "intern_vit_6b"));
  EXPECT_TRUE(whole.pool == PoolKind::kFirstToken && whole.pooled_unread);
  EXPECT_EQ(whole.unread_tokens, 1);
  EXPECT_EQ(Read(Inside("kin_of_internvl", "intern_vit_6b")).unread_tokens, 1);
  const EncoderConfig cut =
      Read(Inside("internvl_chat", "intern_vit_6b", R"(, "select_layer": -2)"));
  EXPECT_EQ(cut.pool, PoolKind::kNone);
}

TEST(VisionLanguageModel, TheTypeOfItsTowerIsThatOfItsClassWhereItStatesNone) {
  EXPECT_EQ(Read(R"({"model_type": "llava", "vision_config": {}})").family, "clip");
  EXPECT_EQ(Read(R"({"model_type": "gemma3", "vision_config": {}})").family, "siglip");
  EXPECT_EQ(Read(R"({"model_type": "clip", "vision_config": {"model_type": "clip"}})").family,
            "clip");
  // transformers' defaults of a config without any.
  const EncoderConfig llava = Read(R"({"model_type": "llava"})");
  EXPECT_TRUE(llava.width == 1024 && llava.blocks == 23 && llava.image_height == 336);
  EXPECT_EQ(Read(R"({"model_type": "gemma3"})").width, 768);
}

TEST(VisionLanguageModel, OthersThatAreNotReadAreRefusedByName) {
  EXPECT_TRUE(Contains(ErrorOfReading(Inside("granite4_vision", "siglip_vision_model")),
                       "several layers of its tower"));
  EXPECT_TRUE(Contains(ErrorOfReading(Inside("minicpmv", "siglip_vision_model")), "each slice"));
  EXPECT_TRUE(Contains(ErrorOfReading(Inside("mistral3", "pixtral")), "'pixtral'"));
}

// transformers builds the whole CLIPVisionConfig from the old form, class defaults included.
TEST(ClipConfig, TheOldVisionConfigDictReplacesTheVisionConfig) {
  const EncoderConfig old_form = Read(R"({"model_type": "clip",
      "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "image_size": 336},
      "vision_config_dict": {"hidden_size": 640, "num_attention_heads": 10}})");
  EXPECT_TRUE(old_form.width == 640 && old_form.blocks == 12 && old_form.image_height == 224);
  EXPECT_EQ(Read(R"({"model_type": "clip", "vision_config_dict": {"patch_size": 16}})").patch, 16);
  EXPECT_EQ(Read(R"({"model_type": "clip", "vision_config_dict": null,
                     "vision_config": {"patch_size": 16}})")
                .patch,
            16);
}

TEST(EncoderConfig, NonFiniteNumbersAreReadWhereNobodyUsesThem) {
  EXPECT_EQ(Read(R"({"model_type": "siglip_vision_model", "attention_dropout": NaN,
                     "initializer_range": -Infinity})")
                .width,
            768);
  EXPECT_TRUE(Contains(
      ErrorOfReading(R"({"model_type": "siglip_vision_model", "layer_norm_eps": Infinity})"),
      "'layer_norm_eps' is Infinity; expected a finite number"));
  EXPECT_TRUE(
      Contains(ErrorOfReading(R"({"model_type": "siglip_vision_model", "hidden_size": NaN})"),
               "'hidden_size' is NaN; expected a whole number"));
}

}  // namespace
}  // namespace w8a8::test
