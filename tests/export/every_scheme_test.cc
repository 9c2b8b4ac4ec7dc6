// Exports of every scheme that compressed-tensors has words for, read back.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/export_quantized.h"
#include "eval/run/stored_plan.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/prepare.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

struct Scheme {
  std::string name;
  SitePlan plan;
  std::string format;
};

SitePlan PlanOf(WeightSpec weight, std::optional<Quantizer> input,
                std::optional<Quantizer> output = std::nullopt) {
  SitePlan plan;
  plan.weight = weight;
  plan.input = input;
  plan.output = output;
  return plan;
}

std::vector<Scheme> Schemes() {
  const WeightSpec eight, four{.num_bits = 4}, tensor{.granularity = Granularity::kTensor};
  const WeightSpec groups{.granularity = Granularity::kGroup, .num_bits = 4, .group_size = 16};
  const WeightSpec five{.granularity = Granularity::kGroup, .num_bits = 5, .group_size = 32};
  const Quantizer fixed = Quantizer::Static(0.03125f), output = Quantizer::Static(0.5f);
  Quantizer point = fixed;
  point.symmetric = false;
  point.zero_point = -7;
  const Quantizer input_groups{.granularity = Granularity::kGroup, .group_size = 32};
  const std::string bytes = "int-quantized", packed = "pack-quantized";
  return {{"w8a8", PlanOf(eight, Quantizer()), bytes},
          {"w8a8_static", PlanOf(eight, fixed), bytes},
          {"w8a8_tensor", PlanOf(tensor, Quantizer()), bytes},
          {"w8a16", PlanOf(eight, std::nullopt), packed},
          {"w4a16", PlanOf(groups, std::nullopt), packed},
          {"w5a16", PlanOf(five, std::nullopt), packed},
          {"w4a8", PlanOf(groups, Quantizer()), bytes},
          {"w4a8_channel", PlanOf(four, fixed), bytes},
          {"w8a8_asymmetric", PlanOf(eight, Quantizer{.symmetric = false}), bytes},
          {"w8a8_point", PlanOf(eight, point), bytes},
          {"w8a8_groups", PlanOf(eight, input_groups), bytes},
          {"w8a8o8", PlanOf(eight, fixed, output), bytes},
          {"w4a8o8", PlanOf(groups, fixed, output), bytes},
          {"w4a16o8", PlanOf(groups, std::nullopt, output), packed}};
}

struct Exported {
  fs::path model, out;
  EncoderConfig config;
  Graph graph;
};

Exported ExportOf(const fs::path& model, const Plan& plan, const std::string& name) {
  Exported exported{model, ScratchFolder(name + "_out"), ReadEncoderConfig(model), {}};
  exported.graph = BuildGraph(exported.config);
  ExportQuantized(EncoderWeights(model, exported.config), exported.graph, plan, model,
                  exported.out);
  return exported;
}

// Dense layers in block 0, gated experts and a shared one in block 1.
EncoderConfig WithExperts() {
  EncoderConfig config = TinySiglip();
  config.mixture = {.experts = 2,
                    .chosen = 1,
                    .gated = true,
                    .width = 96,
                    .shared_width = 64,
                    .in_block = {false, true},
                    .spelling = "one each"};
  return config;
}

// All sites of the tiny model by one scheme.
Exported ExportAll(const Scheme& scheme) {
  const fs::path model = ScratchFolder("scheme_" + scheme.name);
  WriteHashCheckpoint(model, WithExperts(), Dtype::kBF16, /*seed=*/5);
  Plan plan;
  for (const std::string& site : BuildGraph(ReadEncoderConfig(model)).Sites()) {
    plan.sites[site] = scheme.plan;
  }
  return ExportOf(model, plan, "scheme_" + scheme.name);
}

// The codes as the arms run them.
WeightCodes CodesOf(const Weights& weights, const std::string& site, const SitePlan& plan) {
  return Prepare(site, weights.Linear(site), plan, FakeFlavour::kIdeal).layer.weight;
}

TEST(EveryScheme, ReadsBackTheCodesOfTheArmsAndItsOwnPlan) {
  for (const Scheme& scheme : Schemes()) {
    const Exported exported = ExportAll(scheme);
    const EncoderWeights original(exported.model, exported.config);
    const EncoderWeights stored(exported.out, ReadEncoderConfig(exported.out));
    EXPECT_TRUE(stored.notes().empty()) << scheme.name;
    for (const std::string& site : exported.graph.Sites()) {
      EXPECT_EQ(stored.StoredSite(site), scheme.plan) << scheme.name << " " << site;
      EXPECT_EQ(CodesOf(original, site, scheme.plan), CodesOf(stored, site, scheme.plan))
          << scheme.name << " " << site;
    }
    EXPECT_EQ(StoredPlan(stored, exported.graph).sites.size(), exported.graph.Sites().size());
  }
}

TEST(EveryScheme, IsExportedAgainToEqualBytes) {
  for (const Scheme& scheme : Schemes()) {
    const Exported first = ExportAll(scheme);
    const EncoderWeights stored(first.out, first.config);
    const Exported second =
        ExportOf(first.out, StoredPlan(stored, first.graph), "scheme_again_" + scheme.name);
    for (const char* name : {"config.json", "model.safetensors", "scales.h5", "plan.json"}) {
      EXPECT_EQ(ReadFile(first.out / name), ReadFile(second.out / name)) << scheme.name << name;
    }
  }
}

TEST(EveryScheme, HasTheFormatThatItsTargetsRead) {
  for (const Scheme& scheme : Schemes()) {
    const Exported exported = ExportAll(scheme);
    const auto config = nlohmann::json::parse(ReadFile(exported.out / "config.json"));
    const auto& quantization = config.at("quantization_config");
    EXPECT_EQ(quantization.at("format"), scheme.format) << scheme.name;
    EXPECT_EQ(quantization.at("config_groups").size(), 1u);
    const auto& group = quantization.at("config_groups").at("group_0");
    EXPECT_FALSE(group.contains("format"));
    EXPECT_EQ(group.at("weights").at("num_bits"), scheme.plan.weight->num_bits);
    EXPECT_EQ(group.at("input_activations").is_null(), !scheme.plan.input.has_value());
    EXPECT_EQ(group.at("output_activations").is_null(), !scheme.plan.output.has_value());
  }
}

TEST(EveryScheme, MixedFormatsAreStatedByGroup) {
  const fs::path model = ScratchFolder("scheme_mixed");
  WriteHashCheckpoint(model, TinySiglip(), Dtype::kF32, /*seed=*/5);
  Plan plan;
  plan.sites["blocks.0.attn.qkv"];
  plan.sites["blocks.0.mlp.fc1"].input = std::nullopt;
  plan.sites["blocks.0.mlp.fc2"] = PlanOf({.num_bits = 4}, Quantizer());
  const Exported exported = ExportOf(model, plan, "scheme_mixed");
  const auto config = nlohmann::json::parse(ReadFile(exported.out / "config.json"));
  const auto& quantization = config.at("quantization_config");
  EXPECT_EQ(quantization.at("format"), "mixed-precision");
  std::multiset<std::string> formats;
  for (const auto& group : quantization.at("config_groups")) formats.insert(group.at("format"));
  EXPECT_EQ(formats,
            (std::multiset<std::string>{"int-quantized", "int-quantized", "pack-quantized"}));
  EXPECT_EQ(StoredPlan(EncoderWeights(exported.out, exported.config), exported.graph), plan);
}

TEST(EveryScheme, TensorsHaveTheShapesThatCompressedTensorsReads) {
  const std::string stem = "vision_model.encoder.layers.1.self_attn.q_proj.";
  const auto file_of = [](const char* name) {
    const std::vector<Scheme> schemes = Schemes();
    const auto found = std::ranges::find(schemes, name, &Scheme::name);
    return SafetensorsFile(ExportAll(*found).out / "model.safetensors");
  };
  const SafetensorsFile packed = file_of("w5a16");
  EXPECT_EQ(packed.Find(stem + "weight"), nullptr);
  EXPECT_EQ(packed.Get(stem + "weight_packed").shape, (std::vector<int64_t>{64, 10}));
  EXPECT_EQ(Int64Values(packed.Get(stem + "weight_shape")), (std::vector<int64_t>{64, 64}));
  EXPECT_EQ(packed.Get(stem + "weight_scale").shape, (std::vector<int64_t>{64, 2}));
  const SafetensorsFile outputs = file_of("w4a8o8");
  EXPECT_EQ(outputs.Get(stem + "weight").dtype, Dtype::kI8);
  EXPECT_EQ(FloatValues(outputs.Get(stem + "output_scale")), std::vector<float>{0.5f});
  const SafetensorsFile point = file_of("w8a8_point");
  EXPECT_EQ(Int8Values(point.Get(stem + "input_zero_point")), std::vector<int8_t>{-7});
  EXPECT_EQ(file_of("w8a8_tensor").Get(stem + "weight_scale").shape, std::vector<int64_t>{1});
}

// Zero points of weights are read and never made: they come from a folder.
TEST(EveryScheme, ZeroPointsOfWeightsAreWrittenAsTheyWereRead) {
  for (const bool packed : {false, true}) {
    const fs::path model = TinySiglipFolder("scheme_points");
    const WeightCodes part = SmallCodes(64, 64, 4, 16, true);
    const char* format = packed ? "pack-quantized" : "int-quantized";
    EditTensors(model, [&](OwnedTensors& tensors) {
      for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
        StoreCodes(tensors, std::string(kAttention) + name, part, {packed, PackedLayout::kDense});
      }
    });
    DescribeQuantization(model,
                         OneGroup(format,
                                  R"({"strategy": "group", "num_bits": 4, "group_size": 16,
                            "symmetric": false})",
                                  packed ? "null" : R"({"strategy": "token", "dynamic": true})"));
    const EncoderConfig config = ReadEncoderConfig(model);
    const EncoderWeights source(model, config);
    const Plan plan = StoredPlan(source, BuildGraph(config));
    const Exported exported = ExportOf(model, plan, "scheme_points");
    const SafetensorsFile before(model / "model.safetensors");
    const SafetensorsFile after(exported.out / "model.safetensors");
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
      const std::string stem = std::string(kAttention) + name;
      for (const char* tensor : {".weight_zero_point", packed ? ".weight_packed" : ".weight"}) {
        const TensorView& a = before.Get(stem + tensor);
        const TensorView& b = after.Get(stem + tensor);
        EXPECT_EQ(a.shape, b.shape) << b.name;
        EXPECT_TRUE(std::ranges::equal(a.bytes, b.bytes)) << b.name;
      }
    }
    const Hdf5InputFile scales(exported.out / "scales.h5");
    const std::string group = "/sites/blocks.0.attn.qkv";
    const std::vector<int8_t> points = scales.Read<int8_t>(group + "/weight_zero_point", {192, 4});
    EXPECT_TRUE(std::equal(part.zero_points.begin(), part.zero_points.end(), points.begin()));
    EXPECT_EQ(scales.SignedAttribute(group, "group_size"), 16);
    EXPECT_EQ(scales.TextAttribute(group, "granularity"), packed ? "fp16" : "per-token");
  }
}

TEST(EveryScheme, ScalesStandBesideIt) {
  for (const Scheme& scheme : Schemes()) {
    const Exported exported = ExportAll(scheme);
    const EncoderWeights stored(exported.out, exported.config);
    const std::string site = "blocks.1.mlp.experts.1.fc2", group = "/sites/" + site;
    const WeightCodes codes = CodesOf(stored, site, scheme.plan);
    const Hdf5InputFile scales(exported.out / "scales.h5");
    const bool grouped = codes.scale.granularity == Granularity::kGroup;
    const Hdf5Shape shape =
        grouped ? Hdf5Shape{64, codes.groups()} : Hdf5Shape{std::ssize(codes.scale.values)};
    EXPECT_EQ(Equal(codes.scale.values, scales.Read<float>(group + "/weight_scale", shape)), "");
    EXPECT_EQ(Equal(codes.code_sum, scales.Read<int32_t>(group + "/weight_code_sum", {64})), "");
    EXPECT_EQ(scales.SignedAttribute(group, "num_bits"), codes.bits);
    EXPECT_EQ(scales.HasAttribute(group, "group_size"), grouped) << scheme.name;
    EXPECT_EQ(scales.Has(group + "/output_scale"), scheme.plan.output.has_value());
    const bool point =
        scheme.plan.input && scheme.plan.input->is_static() && !scheme.plan.input->symmetric;
    EXPECT_EQ(scales.Has(group + "/input_zero_point"), point) << scheme.name;
  }
}

}  // namespace
}  // namespace w8a8::test
