#include "eval/export/export_quantized.h"

#include <functional>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/run/stored_plan.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/prepare.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// A model, its plan and its export; MLP width 160, so that vLLM's rule of 64 bites.
struct Exported {
  fs::path model, out;
  EncoderConfig config;
  Graph graph;
  Plan plan;
  std::vector<std::string> warnings;
};

// Block 0: qkv and proj dynamic, fc1 and fc2 static; block 1: all dynamic but fc2, which stays
// FP16.
Plan MixedPlan() {
  Plan plan;
  for (const char* site :
       {"blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.1.attn.proj", "blocks.1.mlp.fc1"}) {
    plan.sites[site];
  }
  for (const char* site : {"blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "blocks.1.attn.qkv"}) {
    plan.sites[site].input = Quantizer{Granularity::kTensor, kNoClip, 0.03125f};
  }
  plan.sites["blocks.0.mlp.fc2"].input->clip_range = 4.0f;
  return plan;
}

Exported ExportOf(const std::string& name, const fs::path& model, const Plan& plan) {
  Exported exported{model, ScratchFolder(name + "_out"), ReadEncoderConfig(model), {}, plan, {}};
  exported.graph = BuildGraph(exported.config);
  const EncoderWeights weights(model, exported.config);
  exported.warnings = ExportQuantized(weights, exported.graph, plan, model, exported.out);
  return exported;
}

Exported ExportSmall(const std::string& name, const Plan& plan) {
  const fs::path model = ScratchFolder(name);
  WriteHashCheckpoint(model, TinySiglip(), Dtype::kBF16, /*seed=*/5);
  return ExportOf(name, model, plan);
}

// The layer as the int8 arm runs it.
QuantizedLinear LayerOf(const Weights& weights, const std::string& site, const SitePlan& plan) {
  return Prepare(site, weights.Linear(site), plan, FakeFlavour::kIdeal).layer;
}

void ExpectSitesReadBack(const Exported& exported) {
  const EncoderConfig config = ReadEncoderConfig(exported.out);
  const EncoderWeights original(exported.model, exported.config);
  const EncoderWeights stored(exported.out, config);
  EXPECT_TRUE(stored.quantized());
  EXPECT_TRUE(stored.notes().empty());
  for (const std::string& site : exported.graph.Sites()) {
    const auto planned = exported.plan.sites.find(site);
    const LinearParameters actual = stored.Linear(site);
    if (planned == exported.plan.sites.end()) {
      EXPECT_EQ(Equal(original.Linear(site).values, actual.values), "") << site;
      continue;
    }
    const QuantizedLinear expected = LayerOf(original, site, planned->second);
    EXPECT_EQ(Equal(expected.weight.codes, actual.codes->codes), "") << site;
    EXPECT_EQ(Equal(expected.weight.scale.values, actual.codes->scale.values), "") << site;
    EXPECT_EQ(Equal(expected.bias, actual.bias), "") << site;
    const QuantizedLinear reread = LayerOf(stored, site, planned->second);
    EXPECT_EQ(Equal(expected.weight.code_sum, reread.weight.code_sum), "") << site;
    const Quantizer& input = *planned->second.input;
    const SitePlan stored_plan = stored.StoredSite(site).value();
    const Quantizer& read = *stored_plan.input;
    EXPECT_EQ(read.is_static(), input.is_static());
    EXPECT_EQ(read.scale, input.scale) << site;
  }
}

TEST(ExportQuantized, ReadsBackTheCodesAndScalesOfTheInt8Arm) {
  ExpectSitesReadBack(ExportSmall("export_read_back", MixedPlan()));
}

TEST(ExportQuantized, TheRealModelReadsBackTheSameUnderThePerTokenPlan) {
  if (DataFolder().empty()) W8A8_SKIP_OR_FAIL("data", "set W8A8_DATA");
  Plan plan;
  for (const std::string& site : BuildGraph(ReadEncoderConfig(VitTinyFolder())).Sites()) {
    plan.sites[site];
  }
  ExpectSitesReadBack(ExportOf("export_vit", VitTinyFolder(), plan));
}

// Its own config says so, because VILA's, with VILA's defaults, is not part of the export.
TEST(ExportQuantized, OfAVilaTowerReadsWhatVilaReads) {
  const fs::path whole = ScratchFolder("export_vila");
  fs::create_directories(whole / "vision_tower");
  WriteText(whole / "config.json", R"({"model_type": "llava_llama"})");
  WriteHashCheckpoint(whole / "vision_tower", TinySiglip(), Dtype::kF32, /*seed=*/5);
  Plan plan;
  plan.sites["blocks.0.attn.qkv"];
  const Exported exported = ExportOf("export_vila", whole / "vision_tower", plan);
  for (const EncoderConfig& config : {exported.config, ReadEncoderConfig(exported.out)}) {
    EXPECT_EQ(config.blocks, 1);
    EXPECT_EQ(config.unread_tokens, 1);
    EXPECT_FALSE(config.final_norm);
  }
}

TEST(ExportQuantized, CopiesNonFiniteNumbersOfTheConfigAsTheyStand) {
  const fs::path model = ScratchFolder("export_nan");
  WriteHashCheckpoint(model, TinySiglip(), Dtype::kF32, /*seed=*/5);
  std::string config = ReadFile(model / "config.json");
  config.insert(config.find('{') + 1, R"("attention_dropout": NaN, "range": [-Infinity],)");
  WriteText(model / "config.json", config);
  const std::string copy = ReadFile(ExportOf("export_nan", model, MixedPlan()).out / "config.json");
  EXPECT_TRUE(Contains(copy, "\"attention_dropout\": NaN,")) << copy;
  EXPECT_TRUE(Contains(copy, "-Infinity")) << copy;
}

TEST(ExportQuantized, EveryOtherTensorKeepsItsBytesAndItsDtype) {
  const Exported exported = ExportSmall("export_rest", MixedPlan());
  const SafetensorsFile before(exported.model / "model.safetensors");
  const SafetensorsFile after(exported.out / "model.safetensors");
  int compared = 0;
  for (const auto& [key, tensor] : before.tensors()) {
    const TensorView& copy = after.Get(key);
    if (copy.dtype == Dtype::kI8) continue;
    ++compared;
    EXPECT_EQ(copy.dtype, tensor.dtype) << key;
    EXPECT_EQ(copy.shape, tensor.shape) << key;
    EXPECT_TRUE(
        std::equal(copy.bytes.begin(), copy.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()))
        << key;
  }
  EXPECT_EQ(compared, static_cast<int>(before.tensors().size()) - 11);  // 2 x 3 qkv parts, 5 others
}

TEST(ExportQuantized, TensorsHaveTheShapesThatCompressedTensorsReads) {
  const Exported exported = ExportSmall("export_shapes", MixedPlan());
  const SafetensorsFile file(exported.out / "model.safetensors");
  const std::string stem = "vision_model.encoder.layers.1.self_attn.";
  for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
    EXPECT_EQ(file.Get(stem + part + ".weight").dtype, Dtype::kI8);
    EXPECT_EQ(file.Get(stem + part + ".weight_scale").shape, (std::vector<int64_t>{64, 1}));
    EXPECT_EQ(file.Get(stem + part + ".weight_scale").dtype, Dtype::kF32);
    EXPECT_EQ(FloatValues(file.Get(stem + part + ".input_scale")), std::vector<float>{0.03125f});
  }
  EXPECT_EQ(file.Find("vision_model.encoder.layers.0.self_attn.q_proj.input_scale"), nullptr);
  EXPECT_EQ(file.Find("vision_model.encoder.layers.1.mlp.fc2.weight_scale"), nullptr);
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(ExportQuantized, TheConfigKeepsItsFieldsAndNamesEveryLayerOnce) {
  const Exported exported = ExportSmall("export_config", MixedPlan());
  const auto before = nlohmann::json::parse(ReadFile(exported.model / "config.json"));
  auto after = nlohmann::json::parse(ReadFile(exported.out / "config.json"));
  const nlohmann::json quantization = after.at("quantization_config");
  after.erase("quantization_config");
  EXPECT_EQ(after, before);
  EXPECT_EQ(quantization.at("quant_method"), "compressed-tensors");
  EXPECT_EQ(quantization.at("format"), "int-quantized");
  std::multiset<std::string> targets;
  for (const auto& group : quantization.at("config_groups")) {
    for (const auto& target : group.at("targets")) targets.insert(target);
  }
  EXPECT_EQ(targets.size(), 11u);
  EXPECT_EQ(targets.count(R"(re:(?:.*\.)?encoder\.layers\.0\.self_attn\.k_proj$)"), 1u);
  const std::set<std::string> ignored = quantization.at("ignore");
  EXPECT_EQ(ignored,
            (std::set<std::string>{"vision_model.encoder.layers.1.mlp.fc2",
                                   "vision_model.head.attention.out_proj",
                                   "vision_model.head.mlp.fc1", "vision_model.head.mlp.fc2"}));
}

TEST(ExportQuantized, ScalesPlanAndPreprocessorStandBesideIt) {
  const Exported exported = ExportSmall("export_beside", MixedPlan());
  const EncoderWeights original(exported.model, exported.config);
  const QuantizedLinear fc2 = LayerOf(original, "blocks.0.mlp.fc2", {});
  const Hdf5InputFile scales(exported.out / "scales.h5");
  const std::string group = "/sites/blocks.0.mlp.fc2";
  EXPECT_EQ(Equal(fc2.weight.scale.values, scales.Read<float>(group + "/weight_scale", {64})), "");
  EXPECT_EQ(Equal(fc2.weight.code_sum, scales.Read<int32_t>(group + "/weight_code_sum", {64})), "");
  EXPECT_EQ(scales.Read<float>(group + "/input_scale", {1}), std::vector<float>{0.03125f});
  EXPECT_EQ(scales.TextAttribute(group, "granularity"), "per-tensor");
  EXPECT_EQ(scales.RealAttribute(group, "clip_range"), 4.0);
  EXPECT_EQ(scales.SignedAttribute(group, "num_bits"), 8);
  EXPECT_EQ(scales.TextAttribute("/sites/blocks.0.attn.qkv", "granularity"), "per-token");
  EXPECT_FALSE(scales.Has("/sites/blocks.1.mlp.fc2"));

  std::vector<KnownSite> sites;
  for (const std::string& site : exported.graph.Sites()) sites.push_back({site, 64});
  const PlanFile plan = ReadPlan(exported.out / "plan.json", sites);
  EXPECT_EQ(plan.plan, exported.plan);
  EXPECT_EQ(plan.model_sha256, original.sha256());
  EXPECT_EQ(ReadFile(exported.out / "preprocessor_config.json"),
            ReadFile(exported.model / "preprocessor_config.json"));
}

TEST(ExportQuantized, TheFolderSaysWhichModelAndHowItsSitesAreStored) {
  const Exported exported = ExportSmall("export_stored", MixedPlan());
  const EncoderWeights original(exported.model, exported.config);
  const EncoderWeights stored(exported.out, exported.config);
  EXPECT_EQ(stored.source_sha256(), original.sha256());
  EXPECT_NE(stored.sha256(), original.sha256());
  EXPECT_EQ(original.source_sha256(), original.sha256());
  Plan expected = exported.plan;
  expected.sites["blocks.0.mlp.fc2"].input->clip_range = kNoClip;  // it is in the static scale
  EXPECT_EQ(StoredPlan(stored, exported.graph), expected);
  EXPECT_TRUE(StoredPlan(original, exported.graph).sites.empty());
}

TEST(ExportQuantized, AnExportOfAnExportIsEqualInEveryByte) {
  const Exported first = ExportSmall("export_twice", MixedPlan());
  const Exported second = ExportOf("export_twice_again", first.out, first.plan);
  for (const char* name : {"config.json", "model.safetensors", "scales.h5", "plan.json"}) {
    EXPECT_EQ(ReadFile(first.out / name), ReadFile(second.out / name)) << name;
  }
}

TEST(ExportQuantized, EqualPlansGiveEqualBytes) {
  const Exported first = ExportSmall("export_equal_a", MixedPlan());
  const Exported second = ExportSmall("export_equal_b", MixedPlan());
  for (const char* name : {"config.json", "model.safetensors", "scales.h5", "plan.json"}) {
    EXPECT_EQ(ReadFile(first.out / name), ReadFile(second.out / name)) << name;
  }
}

TEST(ExportQuantized, AClipOnADynamicSiteIsRefusedWithAllTheSitesNames) {
  Plan plan = MixedPlan();
  plan.sites["blocks.0.attn.qkv"].input->clip_range = 5.0f;
  plan.sites["blocks.1.mlp.fc1"].input->clip_range = 5.0f;
  const std::string message = ErrorOf([&] { ExportSmall("export_clip", plan); });
  EXPECT_TRUE(Contains(message, "blocks.0.attn.qkv, blocks.1.mlp.fc1")) << message;
  EXPECT_TRUE(Contains(message, "whole range of each token")) << message;
}

TEST(ExportQuantized, WhatElseCannotBeExpressedIsRefusedByName) {
  const auto error_of = [](const std::function<void(SitePlan&)>& edit) {
    Plan plan = MixedPlan();
    edit(plan.sites["blocks.0.attn.proj"]);
    edit(plan.sites["blocks.1.attn.proj"]);
    return ErrorOf([&] { ExportSmall("export_inexpressible", plan); });
  };
  struct Case {
    std::function<void(SitePlan&)> edit;
    const char* instead;
  };
  const std::vector<Case> cases = {
      {[](SitePlan& site) { site.smoothing.assign(64, 1.5f); }, "rows that nobody smoothed"},
      {[](SitePlan& site) { site.rotation = Rotation{.block = 64}; }, "by rows as they are"},
      {[](SitePlan& site) { site.first_row_twice = true; }, "would code it once"},
      {[](SitePlan& site) {
         site.weight->granularity = Granularity::kGroup;
         site.weight->group_size = 48;
       },
       "no short last group of weights"},
      {[](SitePlan& site) { site.input = {.granularity = Granularity::kGroup, .group_size = 48}; },
       "no short last group of inputs"},
      {[](SitePlan& site) {
         site = {std::nullopt, std::nullopt, Quantizer::Static(0.5f)};
       },
       "would leave those of"}};
  for (const Case& c : cases) {
    const std::string message = error_of(c.edit);
    EXPECT_TRUE(Contains(message, "blocks.0.attn.proj, blocks.1.attn.proj")) << message;
    EXPECT_TRUE(Contains(message, c.instead)) << message;
  }
  Plan unknown = MixedPlan();
  unknown.sites["blocks.9.attn.proj"];
  EXPECT_TRUE(
      Contains(ErrorOf([&] { ExportSmall("export_unknown", unknown); }), "blocks.9.attn.proj"));
}

TEST(ExportQuantized, ItsOwnModelIsNeverOverwritten) {
  const fs::path model = ScratchFolder("export_self");
  WriteHashCheckpoint(model, TinySiglip(), Dtype::kF32, /*seed=*/5);
  const EncoderConfig config = ReadEncoderConfig(model);
  const EncoderWeights weights(model, config);
  const std::string message = ErrorOf(
      [&] { ExportQuantized(weights, BuildGraph(config), MixedPlan(), model, model / "."); });
  EXPECT_TRUE(Contains(message, "would overwrite the model")) << message;
  EXPECT_NO_THROW(ReadEncoderConfig(model));
}

TEST(ExportQuantized, AFolderThatNoExportWroteIsLeftAlone) {
  const fs::path model = ScratchFolder("export_foreign");
  const fs::path other = ScratchFolder("export_foreign_out");
  WriteHashCheckpoint(model, TinySiglip(), Dtype::kF32, /*seed=*/5);
  WriteHashCheckpoint(other, TinySiglip(), Dtype::kF32, /*seed=*/6);
  const std::string before = ReadFile(other / "model.safetensors");
  const EncoderConfig config = ReadEncoderConfig(model);
  const EncoderWeights weights(model, config);
  const auto write = [&](const fs::path& out) {
    return ErrorOf([&] { ExportQuantized(weights, BuildGraph(config), MixedPlan(), model, out); });
  };
  EXPECT_TRUE(Contains(write(other), "holds files that no export wrote"));
  EXPECT_EQ(ReadFile(other / "model.safetensors"), before);
  EXPECT_NO_THROW(ReadEncoderConfig(other));
  EXPECT_TRUE(Contains(write(other / "config.json"), "is a file"));
  const fs::path fresh = ScratchFolder("export_foreign_fresh");
  EXPECT_EQ(write(fresh), "no error was thrown");
  EXPECT_EQ(write(fresh), "no error was thrown");
}

TEST(ExportQuantized, WarnsWhereVllmWouldNotLoadTheMlp) {
  const Exported exported = ExportSmall("export_warning", MixedPlan());
  ASSERT_EQ(exported.warnings.size(), 1u);
  EXPECT_TRUE(Contains(exported.warnings[0], "64 and 160"));
  Plan attention_only;
  attention_only.sites["blocks.0.attn.qkv"];
  EXPECT_TRUE(ExportSmall("export_no_warning", attention_only).warnings.empty());
}

TEST(ExportQuantized, WarnsWhereTransformers4PlacesPatchesElsewhere) {
  const fs::path model = ScratchFolder("export_idefics3");
  WriteHashCheckpoint(model,
                      R"({"model_type": "idefics3_vision", "hidden_size": 64,
                          "num_attention_heads": 2, "intermediate_size": 128, "image_size": 32,
                          "patch_size": 8, "num_hidden_layers": 1})",
                      Dtype::kF32, /*seed=*/6);
  Plan plan;
  plan.sites["blocks.0.mlp.fc1"];
  const Exported exported = ExportOf("export_idefics3", model, plan);
  ASSERT_EQ(exported.warnings.size(), 1u);
  EXPECT_TRUE(Contains(exported.warnings[0], "4.57 computes other positions"))
      << exported.warnings[0];
}

}  // namespace
}  // namespace w8a8::test
