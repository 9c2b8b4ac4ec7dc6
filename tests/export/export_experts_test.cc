// Exports of models with experts: a module for each, whatever the source has, read back and run.
#include <set>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/hdf5_file.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/export/exported_mixture.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

const std::string kMlp = std::string(kMixtureBlock) + "mlp.";
const std::string kSiteOfExperts = "blocks.1.mlp.experts.";

// A mixture with a shared expert, its experts under one name and one stem.
fs::path SpeltFolder(const std::string& spelling, const std::string& stem) {
  EncoderConfig config = TinyMixture();
  config.mixture.shared_width = 24;
  if (spelling == "plain") {
    config.mixture.spelling = "plain";
    config.mixture.gated = false;
  }
  const fs::path folder = MixtureFolder("export_spelt", config);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    OwnedTensors shared;
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
      shared.insert(tensors.extract(kMlp + "shared_expert." + name + ".weight"));
    }
    Respell(tensors, spelling);
    tensors.merge(shared);
    for (const char* part : {"experts.", "gate.", "shared_expert.", "shared_expert_gate."}) {
      RenameStem(tensors, std::string(".mlp.") + part, "." + stem + part);
    }
  });
  return folder;
}

class EverySpelling : public testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  std::string spelling() const { return std::get<0>(GetParam()); }
  std::string stem() const { return std::get<1>(GetParam()); }
  std::string experts() const { return kMixtureBlock + stem() + "experts."; }
  // What an expert's modules are called in an export: fc1's parts, then fc2.
  std::vector<std::string> Modules() const {
    if (spelling() == "plain") return {"fc1", "fc2"};
    if (spelling() == "w1, w3, w2") return {"w1", "w3", "w2"};
    return {"gate_proj", "up_proj", "down_proj"};
  }
  Exported Export(const std::function<Plan(const Graph&)>& plan_of) const {
    return ExportOf("export_spelt", SpeltFolder(spelling(), stem()), plan_of);
  }
};
INSTANTIATE_TEST_SUITE_P(All, EverySpelling,
                         testing::Combine(testing::Values("plain", "one each", "w1, w3, w2", "vLLM",
                                                          "fused", "fused, y = x W"),
                                          testing::Values("mlp.", "block_sparse_moe.")));

TEST_P(EverySpelling, RunsFromItsFolderAsFromMemory) {
  ExpectRunsAsFromMemory(Export([](const Graph& graph) { return PlanOfAll(graph, {}); }), 32);
  ExpectRunsAsFromMemory(Export([](const Graph& graph) { return PlanOfAll(graph, WeightOnly()); }),
                         32);
  ExpectRunsAsFromMemory(Export(MixedPlan), 32);
}

TEST_P(EverySpelling, HasAModuleForEachLayerOfEachExpert) {
  const Exported exported = Export([](const Graph& graph) { return PlanOfAll(graph, {}); });
  const SafetensorsFile file(exported.out / "model.safetensors");
  std::set<std::string> expected;
  for (int e = 0; e < 3; ++e) {
    for (const std::string& module : Modules()) {
      const std::string own = experts() + std::to_string(e) + "." + module;
      const bool down = module == Modules().back();
      EXPECT_EQ(file.Get(own + ".weight").dtype, Dtype::kI8);
      EXPECT_EQ(file.Get(own + ".weight").shape,
                (down ? std::vector<int64_t>{64, 40} : std::vector<int64_t>{40, 64}));
      EXPECT_EQ(file.Get(own + ".weight_scale").shape, (std::vector<int64_t>{down ? 64 : 40, 1}));
      for (const char* part : {".weight", ".weight_scale", ".bias"}) expected.insert(own + part);
    }
  }
  std::set<std::string> actual;
  for (const std::string& name : Names(file)) {
    if (name.starts_with(experts())) actual.insert(name);
  }
  EXPECT_EQ(actual, expected);
  const nlohmann::json config = ConfigOf(exported);
  EXPECT_TRUE(Ignores(config, kMixtureBlock + stem() + "gate"));
  EXPECT_TRUE(Ignores(config, kMixtureBlock + stem() + "shared_expert_gate"));
  for (const char* field : {"num_experts", "num_experts_per_tok", "norm_topk_prob",
                            "moe_intermediate_size", "shared_expert_intermediate_size"}) {
    EXPECT_TRUE(config.contains(field)) << field;
  }
  ASSERT_EQ(exported.warnings.size(), 1u);
  EXPECT_TRUE(Contains(exported.warnings.front(), "with experts"));
}

TEST_P(EverySpelling, AnExpertThatStaysFp16KeepsItsValuesUnderItsOwnNames) {
  const Exported exported = Export(MixedPlan);
  const EncoderWeights source(exported.model, ReadEncoderConfig(exported.model));
  const SafetensorsFile file(exported.out / "model.safetensors");
  for (const char* layer : {"1.fc1", "1.fc2"}) {
    const LinearParameters whole = source.Linear(kSiteOfExperts + layer);
    const LinearSource modules = source.Source(kSiteOfExperts + layer);
    std::vector<float> values, bias;
    for (const std::string& module : modules.stems) {
      const std::vector<float> part = FloatValues(file.Get(module + ".weight"));
      const std::vector<float> part_bias = FloatValues(file.Get(module + ".bias"));
      values.insert(values.end(), part.begin(), part.end());
      bias.insert(bias.end(), part_bias.begin(), part_bias.end());
      EXPECT_TRUE(Ignores(ConfigOf(exported), module)) << module;
    }
    EXPECT_EQ(Equal(whole.values, values), "") << layer;
    EXPECT_EQ(Equal(whole.bias, bias), "") << layer;
  }
}

TEST_P(EverySpelling, IsExportedAgainToEqualBytes) {
  const Exported first = Export(MixedPlan);
  const Exported second =
      ExportOf("export_again", first.out, [&](const Graph&) { return first.plan; });
  for (const char* name : {"config.json", "model.safetensors", "scales.h5", "plan.json"}) {
    EXPECT_EQ(ReadFile(first.out / name), ReadFile(second.out / name)) << name;
  }
}

TEST(ExportOfExperts, ScalesAndPlanHaveTheirSites) {
  const Exported exported = ExportOf("experts_scales", SpeltFolder("fused", "mlp."), MixedPlan);
  const Hdf5InputFile scales(exported.out / "scales.h5");
  const std::string groups = "/sites/" + kSiteOfExperts;
  EXPECT_TRUE(scales.Has(groups + "0.fc1/weight_scale"));
  EXPECT_FALSE(scales.Has(groups + "1.fc1"));
  EXPECT_EQ(scales.TextAttribute(groups + "0.fc1", "granularity"), "per-token");
  EXPECT_EQ(scales.TextAttribute(groups + "0.fc2", "granularity"), "fp16");
  EXPECT_EQ(scales.Read<float>(groups + "2.fc1/weight_scale", {80}).size(), 80u);
  EXPECT_TRUE(scales.Has("/sites/blocks.1.mlp.shared_expert.fc2/weight_scale"));
  const auto plan = nlohmann::json::parse(ReadFile(exported.out / "plan.json"));
  EXPECT_TRUE(plan.at("sites").at(kSiteOfExperts + "1.fc1").is_null());
  EXPECT_TRUE(plan.at("sites").at(kSiteOfExperts + "0.fc2").at("input").is_null());
  EXPECT_TRUE(plan.at("sites").at(kSiteOfExperts + "2.fc1").at("input").is_object());
}

// The bytes of a bias, and of a float weight, are those of the source.
TEST(ExportOfExperts, WhatStaysFloatKeepsItsDtype) {
  const fs::path model = ScratchFolder("experts_bf16");
  WriteHashCheckpoint(model, TinyMixture(), Dtype::kBF16, /*seed=*/1);
  const OwnedTensors before = ReadTensors(model / "model.safetensors");
  EditTensors(model, [](OwnedTensors& tensors) { Respell(tensors, "vLLM"); });
  const Exported exported = ExportOf("experts_bf16", model, MixedPlan);
  const OwnedTensors after = ReadTensors(exported.out / "model.safetensors");
  const std::string own = kMlp + "experts.";
  for (const char* name : {"0.gate_proj.bias", "0.down_proj.bias", "1.up_proj.weight",
                           "1.down_proj.weight", "2.up_proj.bias"}) {
    EXPECT_EQ(after.at(own + name).dtype, Dtype::kBF16) << name;
    EXPECT_EQ(after.at(own + name).shape, before.at(own + name).shape) << name;
    EXPECT_EQ(after.at(own + name).bytes, before.at(own + name).bytes) << name;
  }
}

// Nothing is taken out of a stack for the sake of layers outside it.
TEST(ExportOfExperts, APlanWithoutExpertsLeavesTheirTensorsAsTheyAre) {
  const Exported exported =
      ExportOf("experts_alone", SpeltFolder("fused, y = x W", "mlp."), [](const Graph&) {
        Plan plan;
        plan.sites["blocks.1.attn.qkv"];
        return plan;
      });
  const OwnedTensors before = ReadTensors(exported.model / "model.safetensors");
  const OwnedTensors after = ReadTensors(exported.out / "model.safetensors");
  for (const auto& [key, tensor] : before) {
    if (!key.starts_with(kMlp)) continue;
    EXPECT_EQ(after.at(key).bytes, tensor.bytes) << key;
  }
  ExpectRunsAsFromMemory(exported, 32);
}

// Both of a pair are square in turn; only the pair tells how they lie.
TEST(ExportOfExperts, SquareStacksAreTurnedWhereTheyLieTurned) {
  for (const int64_t hidden : {32, 64}) {
    for (const char* spelling : {"fused", "fused, y = x W"}) {
      EncoderConfig config = TinyMixture();
      config.mixture.width = hidden;
      const fs::path model = MixtureFolder("experts_square", config);
      const OwnedTensors before = ReadTensors(model / "model.safetensors");
      EditTensors(model, [&](OwnedTensors& tensors) { Respell(tensors, spelling); });
      const Exported exported = ExportOf("experts_square", model, MixedPlan);
      const OwnedTensors after = ReadTensors(exported.out / "model.safetensors");
      for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
        const std::string key = kMlp + "experts.1." + name + ".weight";
        EXPECT_EQ(after.at(key).bytes, before.at(key).bytes) << hidden << spelling << name;
      }
    }
  }
}

TEST(ExportOfExperts, OfATowerInsideAModelCanBeTheTowerAlone) {
  const fs::path model = SpeltFolder("fused", "mlp.");
  auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
  vision["vision_use_head"] = false;
  WriteText(model / "config.json",
            nlohmann::json{{"model_type", "gemma3"}, {"vision_config", vision}}.dump());
  EditTensors(model, [](OwnedTensors& tensors) {
    OwnedTensors moved;
    for (auto& [key, tensor] : tensors) {
      if (!Contains(key, ".head.")) moved["vision_tower." + key] = tensor;
    }
    const std::string language = "language_model.model.layers.1.mlp.experts.";
    moved[language + "gate_up_proj"] = Zeros({2, 2, 4});
    moved[language + "0.gate_proj.weight"] = Zeros({2, 4});
    tensors = moved;
  });
  const EncoderConfig config = ReadEncoderConfig(model);
  const Graph graph = BuildGraph(config);
  for (const ExportScope scope : {ExportScope::kWhole, ExportScope::kTowerOnly}) {
    const fs::path out = ScratchFolder("experts_tower");
    ExportQuantized(EncoderWeights(model, config), graph, MixedPlan(graph), model, out, scope);
    const EncoderWeights stored(out, ReadEncoderConfig(out));
    EXPECT_TRUE(stored.notes().empty());
    EXPECT_EQ(StoredPlan(stored, graph), MixedPlan(graph));
    const bool whole = scope == ExportScope::kWhole;
    const OwnedTensors tensors = ReadTensors(out / "model.safetensors");
    EXPECT_EQ(tensors.contains("language_model.model.layers.1.mlp.experts.gate_up_proj"), whole);
    EXPECT_TRUE(
        tensors.contains((whole ? "vision_tower." : "") + kMlp + "experts.1.gate_proj.weight"));
  }
}

}  // namespace
}  // namespace w8a8::test
