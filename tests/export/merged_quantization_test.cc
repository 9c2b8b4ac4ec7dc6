// One quantization_config for a tower and for what is quantized around it; the targets in it.
#include "eval/export/merged_quantization.h"

#include <regex>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/compressed_scheme.h"
#include "eval/export/tower_modules.h"
#include "runtime/base/setting.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using nlohmann::ordered_json;

// As compressed-tensors does: patterns from the start (re.match), names as a whole.
bool Finds(const std::string& entry, const std::string& module) {
  if (!entry.starts_with("re:")) return entry == module;
  return std::regex_search(module, std::regex(entry.substr(3)),
                           std::regex_constants::match_continuous);
}

bool AnyFinds(const ordered_json& entries, const std::string& module) {
  return std::any_of(entries.begin(), entries.end(), [&](const ordered_json& entry) {
    return Finds(entry.get<std::string>(), module);
  });
}

const char* const kQuery = "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj";
const char* const kLanguage = "language_model.model.layers.0.self_attn.q_proj";

TowerModules Gemma3Tower() {
  return {"siglip", "vision_tower.vision_model.", {kQuery}, {kLanguage}};
}

ordered_json Ours(const TowerModules& modules, const std::string& stem) {
  return QuantizationConfig({.by_scheme = {{CompressedSchemeOf({}), {modules.Target(stem)}}},
                             .ignored = {"multi_modal_projector"}});
}

ordered_json Theirs(const ordered_json& targets, const ordered_json& ignore,
                    const std::string& format) {
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"quantization_status", "compressed"},
          {"kv_cache_scheme", {{"num_bits", 8}}},
          {"ignore", ignore},
          {"config_groups", {{"group_0", {{"targets", targets}, {"weights", {{"num_bits", 4}}}}}}}};
}

ordered_json Merged(const ordered_json& theirs) {
  const TowerModules modules = Gemma3Tower();
  return MergedQuantization(theirs, Ours(modules, kQuery), modules, {});
}

TEST(TowerModules, AViTLayerIsFoundUnderItsNamesOfAllVersions) {
  const std::string stem = "vit.encoder.layer.1.attention.attention.query";
  const TowerModules modules("vit", "vit.", {stem}, {"classifier"});
  const std::string target = modules.Target(stem);
  EXPECT_TRUE(Finds(target, stem));
  EXPECT_TRUE(Finds(target, "vit.layers.1.attention.q_proj"));
  EXPECT_TRUE(Finds(target, "layers.1.attention.q_proj"));  // ViTModel
  EXPECT_FALSE(Finds(target, "vit.layers.11.attention.q_proj"));
  EXPECT_FALSE(Finds(target, "vit.layers.1.attention.k_proj"));
  EXPECT_TRUE(Finds(TowerModules("vit", "", {"encoder.layer.0.output.dense"}, {})
                        .Target("encoder.layer.0.output.dense"),
                    "vit.layers.0.mlp.fc2"));
}

TEST(TowerModules, GatedDinov2IsFoundWholeAndSplit) {
  const std::string stem = "encoder.layer.0.mlp.weights_in";
  const std::string target = TowerModules("dinov2", "", {stem}, {}).Target(stem);
  for (const char* part : {"weights_in", "gate_proj", "up_proj"}) {
    EXPECT_TRUE(Finds(target, std::string("encoder.layer.0.mlp.") + part)) << part;
  }
  EXPECT_FALSE(Finds(target, "encoder.layer.0.mlp.down_proj"));
}

TEST(TowerModules, ATextTowerOfTheSameNamesIsNotFound) {
  const std::string stem = "vision_model.encoder.layers.0.mlp.fc1";
  const std::string text = "text_model.encoder.layers.0.mlp.fc1";
  const TowerModules modules("clip", "vision_model.", {stem}, {text});
  for (const char* name : {"vision_model.encoder.layers.0.mlp.fc1",
                           "clip.vision_model.vision_model.encoder.layers.0.mlp.fc1"}) {
    EXPECT_TRUE(Finds(modules.Target(stem), name)) << name;
    EXPECT_TRUE(modules.Holds(name)) << name;
  }
  EXPECT_FALSE(Finds(modules.Target(stem), text));
  EXPECT_FALSE(modules.Holds(text));
  EXPECT_TRUE(Finds(modules.TargetInLoneTower(stem), "encoder.layers.0.mlp.fc1"));
}

TEST(TowerModules, ATowerIsFoundAtAllPlacesThatVersionsGiveIt) {
  const TowerModules modules = Gemma3Tower();
  for (const char* before : {"vision_tower.", "model.vision_tower.",
                             "model.vision_tower.vision_model.", "vision_tower.vision_model."}) {
    const std::string name = std::string(before) + "encoder.layers.0.self_attn.q_proj";
    EXPECT_TRUE(Finds(modules.Target(kQuery), name)) << name;
    EXPECT_TRUE(Finds("re:" + modules.AllTargets(), name)) << name;
  }
  EXPECT_FALSE(Finds(modules.Target(kQuery), kLanguage));
}

TEST(TowerModules, OneExpressionStandsForAllTargetsOfAnUnevenPlan) {
  const std::vector<std::string> stems = {"encoder.layers.0.mlp.fc1", "encoder.layers.2.mlp.fc1",
                                          "encoder.layers.2.mlp.fc2"};
  const TowerModules modules("siglip", "", stems, {});
  const std::string all = "re:" + modules.AllTargets();
  for (const std::string& stem : stems) EXPECT_TRUE(Finds(all, stem)) << stem;
  for (const char* other : {"encoder.layers.1.mlp.fc1", "encoder.layers.0.mlp.fc2"}) {
    EXPECT_FALSE(Finds(all, other)) << other;
  }
}

TEST(MergedQuantization, TheOthersKeepTheirGroupTheirIgnoredAndTheRest) {
  const ordered_json theirs = Theirs({"Linear"}, {kQuery, "lm_head"}, "int-quantized");
  const ordered_json merged = Merged(theirs);
  EXPECT_EQ(merged["config_groups"]["group_0"], theirs["config_groups"]["group_0"]);
  EXPECT_EQ(merged["config_groups"].size(), 2u);
  EXPECT_EQ(merged["config_groups"].begin().key(), "vision_group_0");  // the first match counts
  EXPECT_EQ(merged["ignore"], ordered_json({"lm_head"}));
  EXPECT_EQ(merged["kv_cache_scheme"], theirs["kv_cache_scheme"]);
  EXPECT_EQ(merged["format"], "int-quantized");
}

TEST(MergedQuantization, PatternsThatWouldCatchTheTowerDoNotAnyMore) {
  const ordered_json merged =
      Merged(Theirs({"re:.*q_proj$", "re:(?i).*LAYERS.*"}, {"re:.*vision_tower.*", "re:.*lm_head"},
                    "int-quantized"));
  const ordered_json targets = merged["config_groups"]["group_0"]["targets"];
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_TRUE(Finds(targets[0], kLanguage));
  EXPECT_FALSE(Finds(targets[0], kQuery));
  EXPECT_FALSE(Finds(targets[0], "model.vision_tower.encoder.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(targets[1].get<std::string>().starts_with("re:(?i)(?!"));  // Python's place for flags
  const ordered_json ignore = merged["ignore"];
  EXPECT_FALSE(AnyFinds(ignore, kQuery));
  EXPECT_TRUE(AnyFinds(ignore, "vision_tower.vision_model.encoder.layers.0.mlp.fc1"));
  EXPECT_EQ(ignore[1], "re:.*lm_head");
}

TEST(MergedQuantization, GroupsOfTwoFormatsEachStateTheirOwn) {
  const ordered_json merged = Merged(Theirs({"Linear"}, {kQuery}, "pack-quantized"));
  EXPECT_EQ(merged["format"], "mixed-precision");
  EXPECT_EQ(merged["config_groups"]["group_0"]["format"], "pack-quantized");
  EXPECT_EQ(merged["config_groups"]["vision_group_0"]["format"], "int-quantized");
}

TEST(MergedQuantization, MergingAgainChangesNothing) {
  const TowerModules modules = Gemma3Tower();
  const std::set<std::string> own = {modules.Target(kQuery)};
  const ordered_json once =
      Merged(Theirs({"re:.*q_proj$"}, {"re:.*vision_tower.*"}, "float-quantized"));
  EXPECT_EQ(MergedQuantization(once, Ours(modules, kQuery), modules, own), once);
}

TEST(MergedQuantization, TheGroupOfATowerExportedEarlierStaysBesideThatOfTheNext) {
  const ordered_json theirs = Theirs({"Linear"}, {kQuery}, "int-quantized");
  const ordered_json first = Merged(theirs);
  const std::string stem = "second_tower.encoder.layers.0.self_attn.q_proj";
  const TowerModules second("siglip", "second_tower.", {stem}, {kQuery, kLanguage});
  const ordered_json groups =
      MergedQuantization(first, Ours(second, stem), second, {})["config_groups"];
  EXPECT_EQ(groups.size(), 3u);
  for (const std::string& layer : {stem, std::string(kQuery)}) {
    EXPECT_TRUE(std::any_of(groups.begin(), groups.end(), [&layer](const ordered_json& group) {
      return group["targets"] != ordered_json({"Linear"}) && AnyFinds(group["targets"], layer);
    })) << layer;
  }
}

TEST(MergedQuantization, NothingIsLeftOfAnExportOfTheTowerAlone) {
  const TowerModules modules = Gemma3Tower();
  const ordered_json ours = Ours(modules, kQuery);
  EXPECT_EQ(MergedQuantization(ours, ours, modules, {modules.Target(kQuery)}), ours);
}

TEST(FindQuantization, RefusesWhatCompressedTensorsCouldNotHaveWritten) {
  const struct {
    const char* change;
    const char* expected;
  } cases[] = {
      {R"({"config_groups": {"g": 8}})", "config_groups.g' is 8; expected an object"},
      {R"({"config_groups": {"W8A8": [1]}})", "config_groups.W8A8[0]' is 1; expected a string"},
      {R"({"config_groups": [8]})", "config_groups' is [8]; expected an object"},
      {R"({"config_groups": {"group_0": {"targets": "Linear"}}})", "targets' is \"Linear\"; exp"},
      {R"({"config_groups": {"group_0": {"format": 9}}})", "group_0.format' is 9; expected a str"},
      {R"({"ignore": ["lm_head", 3]})", "ignore[1]' is 3; expected a string"},
      {R"({"format": 8})", "format' is 8; expected a string"}};
  for (const auto& c : cases) {
    ordered_json theirs = Theirs({"Linear"}, {"lm_head"}, "pack-quantized");
    theirs.merge_patch(ordered_json::parse(c.change));
    const std::string message = ErrorOf([&] {
      FindQuantization({{"quantization_config", theirs}}, "model");
    });
    EXPECT_TRUE(Contains(message, c.expected)) << c.change << "\n" << message;
  }
}

// Ten patterns such as this one took 5 s.
TEST(MergedQuantization, APatternTooLongToSearchWithMayBeAboutAnyLayer) {
  const ordered_json merged =
      Merged(Theirs({"re:(.*){16000}x"}, ordered_json::array(), "pack-quantized"));
  const ordered_json targets = merged["config_groups"]["group_0"]["targets"];
  EXPECT_TRUE(Contains(targets[0].get<std::string>(), "(?!"));
}

TEST(FindQuantization, LooksWhereTransformersAndVllmDo) {
  const std::filesystem::path folder = ScratchFolder("find_quantization");
  const ordered_json theirs = Theirs({"Linear"}, {"lm_head"}, "int-quantized");
  for (ordered_json config :
       {ordered_json{{"quantization_config", theirs}}, ordered_json{{"compression_config", theirs}},
        ordered_json{{"compression_config", {{"quantization_config", theirs}}}},
        ordered_json{{"text_config", {{"quantization_config", theirs}}}}}) {
    EXPECT_EQ(FindQuantization(config, folder), theirs) << config;
    EraseQuantization(&config);
    EXPECT_EQ(FindQuantization(config, folder), std::nullopt) << config;
  }
  EXPECT_EQ(FindQuantization({{"quantization_config", nullptr}}, folder), std::nullopt);
}

// The way out is a setting: the tower alone.
TEST(FindQuantization, WhatHasNoPlaceBesideTheTowerIsRefused) {
  const std::filesystem::path folder = ScratchFolder("find_refused");
  const auto refusal = [&folder](const ordered_json& quantization) -> std::string {
    try {
      FindQuantization({{"vision_config", {}}, {"quantization_config", quantization}}, folder);
      return "not refused";
    } catch (const MendableError& error) {
      return error.remedy().setting == Setting::kTowerOnly ? error.what() : "another remedy";
    }
  };
  for (const char* method : {"gptq", "awq", "bitsandbytes", "fp8", "modelopt"}) {
    EXPECT_TRUE(Contains(refusal({{"quant_method", method}}), method));
  }
  EXPECT_TRUE(Contains(refusal({{"load_in_8bit", true}}), "without a name"));
  ordered_json frozen = Theirs({"Linear"}, {}, "int-quantized");
  frozen["quantization_status"] = "frozen";
  EXPECT_TRUE(Contains(refusal(frozen), "'frozen'"));
  WriteText(folder / "hf_quant_config.json", "{}");
  EXPECT_TRUE(Contains(refusal(nullptr), "hf_quant_config.json"));
}

}  // namespace
}  // namespace w8a8::test
