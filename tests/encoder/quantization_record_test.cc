// What a tower may be stored in, and what the configs say of it.
#include "runtime/encoder/quantization_record.h"

#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// What a tower itself is stored in is named, by its first tensor, whatever the configs say.
struct Storage {
  std::string name;
  std::function<void(OwnedTensors&, const std::string& stem)> store;
  std::string tensor, format;
};

OwnedTensor Bytes(Dtype dtype, std::vector<int64_t> shape) {
  size_t bits = static_cast<size_t>(DtypeBits(dtype));
  for (const int64_t side : shape) bits *= static_cast<size_t>(side);
  return {dtype, std::move(shape), std::vector<std::byte>(bits / 8)};
}

std::vector<Storage> Storages() {
  using Tensors = OwnedTensors;
  const auto instead = [](std::map<std::string, OwnedTensor> parts) {
    return [parts = std::move(parts)](Tensors& tensors, const std::string& stem) {
      tensors.erase(stem + ".weight");
      for (const auto& [name, tensor] : parts) tensors[stem + "." + name] = tensor;
    };
  };
  const OwnedTensor packed = Bytes(Dtype::kI32, {64, 8});
  const OwnedTensor nibbles = Bytes(Dtype::kU8, {64, 32});
  const OwnedTensor codes = Bytes(Dtype::kI8, {64, 64});
  const OwnedTensor eights = Bytes(Dtype::kF8E4M3, {64, 64});
  return {{"nvfp4", instead({{"weight_packed", nibbles}, {"weight_global_scale", Zeros({1})}}),
           "weight_packed", "nvfp4-pack-quantized"},
          {"mxfp4", instead({{"weight_packed", nibbles}, {"weight_scale", nibbles}}),
           "weight_packed", "mxfp4-pack-quantized"},
          {"gptq", instead({{"qweight", packed}, {"g_idx", packed}}), "qweight", "GPTQ"},
          {"awq", instead({{"qweight", packed}, {"qzeros", packed}, {"scales", packed}}), "qweight",
           "AWQ"},
          {"hqq", instead({{"W_q", nibbles}}), "W_q", "HQQ"},
          {"fp8", instead({{"weight", eights}, {"weight_scale", Zeros({64, 1})}}), "weight", "FP8"},
          {"fp8_blocks", instead({{"weight", eights}, {"weight_scale_inv", Zeros({1, 1})}}),
           "weight", "FP8 by blocks"},
          {"fp4", instead({{"weight", Bytes(Dtype::kF4, {64, 64})}}), "weight", "FP4"},
          {"bnb8", instead({{"weight", codes}, {"SCB", Zeros({64})}}), "weight",
           "bitsandbytes (8-bit)"},
          {"bnb4", instead({{"weight", Bytes(Dtype::kU8, {2048, 1})}, {"weight.absmax", nibbles}}),
           "weight", "bitsandbytes (4-bit)"},
          {"modelopt", instead({{"weight", nibbles}, {"weight_scale_2", Zeros({})}}), "weight",
           "modelopt (NVFP4)"},
          {"torchao", instead({{"_weight_qdata", codes}, {"_weight_scale", Zeros({64})}}),
           "_weight_qdata", "torchao"},
          {"quanto", instead({{"weight._data", codes}, {"weight._scale", Zeros({64, 1})}}),
           "weight._data", "quanto"},
          {"fake",
           [](Tensors& tensors, const std::string& stem) {
             tensors[stem + ".weight_scale"] = Zeros({64, 1});
           },
           "weight_scale", "float weights quantized at run time"}};
}

TEST(QuantizationRecord, ATowerInAnotherFormatIsRefusedByItsFirstTensor) {
  for (const Storage& storage : Storages()) {
    for (const std::string stem : {"vision_model.encoder.layers.0.self_attn.q_proj",
                                   "vision_model.head.attention.out_proj"}) {
      const fs::path folder = TinySiglipFolder("stored_as_" + storage.name);
      EditTensors(folder, [&](OwnedTensors& tensors) { storage.store(tensors, stem); });
      const std::string message = ErrorOf([&] { EncoderWeights(folder, TinySiglip()); });
      EXPECT_TRUE(Contains(message, "'" + stem + "." + storage.tensor + "' is ")) << message;
      EXPECT_TRUE(Contains(message, "(" + storage.format + ")")) << message;
    }
  }
}

TEST(QuantizationRecord, APatchEmbeddingInAnotherFormatIsNamed) {
  const fs::path folder = TinySiglipFolder("stored_anchor");
  EditTensors(folder, [](OwnedTensors& tensors) {
    const std::string stem = "vision_model.embeddings.patch_embedding";
    tensors.erase(stem + ".weight");
    tensors[stem + ".qweight"] = Bytes(Dtype::kI32, {64, 8});
  });
  const std::string message = ErrorOf([&] { EncoderWeights(folder, TinySiglip()); });
  EXPECT_TRUE(Contains(message, "patch_embedding.qweight' is I32 [64, 8] (AWQ)")) << message;
}

TEST(QuantizationRecord, WhatLiesOutsideTheTowerIsNobodysReasonToRefuseIt) {
  for (const Storage& storage : Storages()) {
    const fs::path folder = TinySiglipFolder("beside_" + storage.name);
    EditTensors(folder, [&](OwnedTensors& tensors) {
      const std::string stem = "language_model.model.layers.0.self_attn.q_proj";
      tensors[stem + ".weight"] = Zeros({64, 64});
      storage.store(tensors, stem);
    });
    DescribeQuantization(folder, R"({"quant_method": "any", "config_groups": [], "bits": 4})");
    const EncoderConfig config = ReadEncoderConfig(folder);
    const EncoderWeights weights(folder, config);
    EXPECT_FALSE(weights.quantized());
    ASSERT_EQ(weights.notes().size(), 1u);
    EXPECT_EQ(weights.notes()[0],
              "the encoder itself is not quantized, other parts may be (quantization_config of "
              "config.json: quant_method 'any')");
  }
}

TEST(QuantizationRecord, ScalesOfADecodersCacheAreNotUsedByAnEncoder) {
  const fs::path folder = TinySiglipFolder("cache_scales");
  EditTensors(folder, [](OwnedTensors& tensors) {
    for (const char* scale : {"k_scale", "v_scale"}) {
      tensors[std::string(kAttention) + scale] = Floats({1}, {0.5f});
    }
  });
  EXPECT_TRUE(Contains(ErrorOf([&] { EncoderWeights(folder, TinySiglip()); }), "k_scale"));
  DescribeQuantization(folder, R"({"quant_method": "compressed-tensors",
                                   "kv_cache_scheme": {"num_bits": 8, "type": "float"}})");
  const EncoderWeights weights(folder, TinySiglip());
  ASSERT_EQ(weights.notes().size(), 2u);
  EXPECT_TRUE(Contains(weights.notes()[1], "2 tensor(s) are not used")) << weights.notes()[1];
}

// A tower of INT8 codes beside a config that says how they are meant.
std::string ErrorOfConfig(const std::string& quantization,
                          const std::string& place = "quantization_config") {
  const fs::path folder = QuantizedFolder("quantized_scheme");
  DescribeQuantization(folder, quantization, place);
  return ErrorOfReading(folder);
}

constexpr const char* kReads = "no error was thrown";

TEST(QuantizationRecord, OtherSchemesAreRefusedByName) {
  EXPECT_TRUE(Contains(ErrorOfConfig(R"({"quant_method": "gptq"})"), "'gptq'"));
  const auto group = [&](const std::string& weights, const std::string& inputs) {
    return ErrorOfConfig(R"({"quant_method": "compressed-tensors", "format": "int-quantized",
                             "config_groups": {"g": {"weights": )" +
                         weights + R"(, "input_activations": )" + inputs + "}}}");
  };
  const std::string channel = R"({"num_bits": 8, "strategy": "channel"})";
  const std::string token = R"({"num_bits": 8, "strategy": "token", "dynamic": true})";
  EXPECT_EQ(group(channel, token), kReads);
  EXPECT_EQ(group(R"({"strategy": "tensor"})", token), kReads);
  EXPECT_EQ(group(channel, "null"), kReads);
  EXPECT_TRUE(Contains(group(R"({"num_bits": 4, "strategy": "channel"})", token),
                       "q_proj.weight' holds -128 at element 0; 4 bits hold -8 to 7"));
  EXPECT_TRUE(Contains(group(R"({"strategy": "group"})", token), "group_size"));
  EXPECT_TRUE(Contains(group(R"({"strategy": "block"})", token), "by 'block'"));
  EXPECT_TRUE(Contains(group(channel, R"({"strategy": "token"})"), "static"));
  EXPECT_TRUE(Contains(group(channel, R"({"strategy": "tensor", "dynamic": true})"), "dynamic"));
  EXPECT_TRUE(Contains(group(channel, R"({"num_bits": 4, "strategy": "token", "dynamic": true})"),
                       "int of 4 bits"));
  EXPECT_TRUE(Contains(group(channel, R"({"symmetric": false})"), "q_proj.input_zero_point"));
  // A static scale that the config promises is missing.
  const std::string lacking = group(channel, R"({"strategy": "tensor"})");
  EXPECT_TRUE(Contains(lacking, "q_proj.input_scale")) << lacking;
}

TEST(QuantizationRecord, TheConfigIsFoundWhereverOneStands) {
  const std::string static_tokens =
      R"({"quant_method": "compressed-tensors", "format": "int-quantized",
          "config_groups": {"g": {"targets": ["Linear"], "weights": {"strategy": "channel"},
                                  "input_activations": {"strategy": "token"}}}})";
  for (const std::string place :
       {"quantization_config", "compression_config", "vision_config.quantization_config",
        "text_config.quantization_config", "compression_config.quantization_config"}) {
    const std::string message = ErrorOfConfig(static_tokens, place);
    EXPECT_TRUE(Contains(message, "quantizes inputs by 'token' (static")) << place << message;
  }
  const fs::path folder = QuantizedFolder("quantized_modelopt");
  WriteText(folder / "hf_quant_config.json", R"({"quantization": {"quant_algo": "W8A8_SQ"}})");
  const std::string message = ErrorOfReading(folder);
  EXPECT_TRUE(Contains(message, "quant_algo 'W8A8_SQ'")) << message;
}

std::optional<Quantizer> InputsOf(const std::string& quantization) {
  const fs::path folder = QuantizedFolder("quantized_scheme");
  DescribeQuantization(folder, quantization);
  return EncoderWeights(folder, TinySiglip()).StoredSite("blocks.0.attn.qkv")->input;
}

TEST(QuantizationRecord, TheGroupThatTargetsTheTowerCounts) {
  const auto groups = [](const std::string& tower_targets, const std::string& tower_inputs,
                         const std::string& other) {
    return R"({"quant_method": "compressed-tensors", "format": "mixed-precision",
               "kv_cache_scheme": {"num_bits": 8, "type": "float"},
               "sparsity_config": {"format": "dense"},
               "config_groups": {"a": )" +
           other + R"(, "z": {"format": "int-quantized", "targets": )" + tower_targets +
           R"(, "weights": {"strategy": "channel"}, "input_activations": )" + tower_inputs +
           R"(}}, "ignore": ["re:.*lm_head"]})";
  };
  const std::string token = R"({"strategy": "token", "dynamic": true})";
  const std::string four_bits =
      R"({"targets": ["Linear"], "format": "pack-quantized",
          "weights": {"num_bits": 4, "strategy": "group", "group_size": 128}})";
  const std::string weights_only =
      R"({"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}})";
  const std::string w8a8 =
      R"({"targets": ["Linear"], "weights": {"strategy": "channel"}, "input_activations": )" +
      token + "}";
  for (const std::string targets :
       {R"(["re:.*vision_model.*(q|k|v)_proj$"])", R"(["re:^(?!.*language_model).*$"])",
        R"(["vision_model.encoder.layers.0.self_attn.q_proj",
            "model.vision_model.encoder.layers.0.self_attn.k_proj",
            "encoder.layers.0.self_attn.v_proj"])"}) {
    EXPECT_EQ(InputsOf(groups(targets, token, four_bits)), Quantizer()) << targets;
    EXPECT_EQ(InputsOf(groups(targets, token, weights_only)), Quantizer()) << targets;
    EXPECT_EQ(InputsOf(groups(targets, "null", w8a8)), std::nullopt) << targets;
  }
  // Searches that would take longer than anyone waits.
  EXPECT_EQ(ErrorOfConfig(groups(R"(["re:(a|aa)+$", "re:(.*)*(.*)*(.*)*x"])", token, four_bits)),
            kReads);
  // 80 s for the three modules; the pattern is not looked at, so that it may mean anything.
  std::string counted;
  for (int i = 0; i < 40; ++i) counted += fmt::format(R"("re:(.*){{16{:03}}}x", )", i);
  EXPECT_EQ(ErrorOfConfig(groups("[" + counted + R"("re:.{0,9}x"])", token, four_bits)), kReads);
}

constexpr const char* kScheme =
    R"("weights": {"strategy": "channel"},
       "input_activations": {"strategy": "token", "dynamic": true})";

TEST(QuantizationRecord, FieldsOfAnotherKindAreRefusedByNameNotPassedOver) {
  const std::string linear = std::string(R"("g": {"targets": ["Linear"], )") + kScheme + "}";
  const auto with = [](const std::string& groups, const std::string& rest) {
    return "{\"config_groups\": " + groups + rest + "}";
  };
  const struct {
    std::string config;
    std::string expected;
  } cases[] = {
      {R"("int8")", R"('quantization_config' is "int8"; expected an object)"},
      {"[]", "'quantization_config' is []; expected an object"},
      {with("[]", ""), "config_groups' is []; expected an object"},
      {with(R"({"h": 8, )" + linear + "}", ""), "config_groups.h' is 8; expected an object"},
      {with(R"({"g": null})", ""), "config_groups.g' is null; expected an object"},
      {with(R"({"g": {"targets": "Linear", )" + std::string(kScheme) + "}}", ""),
       R"(config_groups.g.targets' is "Linear"; expected a list)"},
      {with(R"({"g": {"weights": {"strategy": "channel"}, "input_activation": {}}})", ""),
       "config_groups.g' has an unknown field 'input_activation'. Did you mean "
       "'input_activations'"},
      {with(R"({"g": {"weights": {"num_bit": 8}}})", ""),
       "config_groups.g.weights' has an unknown field 'num_bit'. Did you mean 'num_bits'"},
      {with(R"({"g": {"weights": {"strategy": "channel"}, "input_activations": {"scale": 1}}})",
            ""),
       "config_groups.g.input_activations' has an unknown field 'scale'"},
      {with("{" + linear + "}", R"(, "ignore": "lm_head")"), R"(ignore' is "lm_head"; expected a)"},
      {with("{" + linear + "}", R"(, "ignore": ["lm_head", 3])"), "ignore[1]' is 3; expected a"},
      {with("{" + linear + "}", R"(, "format": 8)"), "format' is 8; expected a string"},
      {with("{" + linear + "}", R"(, "quant_method": [])"), "quant_method' is []; expected a"},
      {with("{" + linear + "}", R"(, "transform_config": true)"),
       "transform_config' is true; expected an object"}};
  for (const auto& c : cases) {
    const std::string message = ErrorOfConfig(c.config);
    EXPECT_TRUE(Contains(message, c.expected)) << c.config << "\n" << message;
  }
}

// What is noted of three codes of q, k and v beside a config with these fields.
std::string NoteOf(const std::string& fields) {
  const fs::path folder = QuantizedFolder("quantized_uncovered");
  if (!fields.empty()) {
    DescribeQuantization(folder, R"({"quant_method": "compressed-tensors",
                                     "format": "int-quantized", )" +
                                     fields + "}");
  }
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_TRUE(weights.quantized());
  EXPECT_LE(weights.notes().size(), 1u);
  return weights.notes().empty() ? "" : weights.notes().front();
}

std::string Targeting(const std::string& targets, const std::string& ignore = "[]") {
  return R"("ignore": )" + ignore + R"(, "config_groups": {"g": {"targets": )" + targets + ", " +
         kScheme + "}}";
}

TEST(QuantizationRecord, CodesThatTheConfigDoesNotCoverAreNoted) {
  const std::string begin =
      "3 module(s) are stored as INT8 codes, first "
      "'vision_model.encoder.layers.0.self_attn.q_proj'";
  const std::string end =
      ": their scales are applied here; a loader that goes by the config takes the codes for "
      "weights";
  EXPECT_EQ(NoteOf(""), begin + " (config.json has no quantization_config)" + end);
  EXPECT_EQ(NoteOf(R"("config_groups": {})"),
            begin + " (quantization_config has no config_groups)" + end);
  EXPECT_EQ(NoteOf(Targeting(R"(["Conv2d"])")),
            begin + " (no group of quantization_config targets it)" + end);
  EXPECT_EQ(NoteOf(Targeting(R"(["re:language_model.*"])")),
            begin + " (no group of quantization_config targets it)" + end);
  EXPECT_EQ(NoteOf(Targeting(R"(["Linear"])", R"(["lm_head", "re:.*"])")),
            begin + " ('re:.*' in quantization_config.ignore)" + end);
  const std::string one =
      NoteOf(Targeting(R"(["Linear"])", R"(["vision_model.encoder.layers.0.self_attn.k_proj"])"));
  EXPECT_TRUE(Contains(one, "1 module(s)") && Contains(one, "k_proj'")) << one;
}

TEST(QuantizationRecord, CodesThatTheConfigMayCoverAreNotNoted) {
  for (const char* targets :
       {R"(["Linear"])", R"(["re:.*self_attn.*"])", R"(["re:^encoder.*"])",
        R"(["re:model\\.vision_model.*"])", R"(["re:(?P<part>vision_model).*"])",
        R"(["re:.*q_proj", "re:.*k_proj$", "encoder.layers.0.self_attn.v_proj"])"}) {
    EXPECT_EQ(NoteOf(Targeting(targets, R"(["lm_head", "re:language_model.*"])")), "") << targets;
  }
}

TEST(QuantizationRecord, WhatIsNoRegularExpressionIsRefusedByName) {
  for (const char* broken : {"re:([", "re:("}) {
    for (const bool ignored : {true, false}) {
      const std::string list = std::string("[\"") + broken + "\"]";
      const std::string message =
          ErrorOf([&] { NoteOf(ignored ? Targeting(R"(["Linear"])", list) : Targeting(list)); });
      EXPECT_TRUE(Contains(message, std::string("'") + broken + "' of its quantization is not a"))
          << message;
    }
  }
}

TEST(QuantizationRecord, APresetIsReadAsTheSchemeItStandsFor) {
  EXPECT_EQ(NoteOf(R"("config_groups": {"W8A8": ["Linear"]})"), "");
  EXPECT_EQ(NoteOf(R"("config_groups": {"int8": ["Linear"]})"), "");
  EXPECT_EQ(NoteOf(R"("config_groups": {"W8A16": ["Linear"]})"), "");  // 64 inputs are one group
  const std::string message =
      ErrorOf([&] { NoteOf(R"("config_groups": {"FP8_DYNAMIC": ["Linear"]})"); });
  EXPECT_TRUE(Contains(message, "groups: 'FP8_DYNAMIC')")) << message;
}

TEST(QuantizationRecord, TransformsAtRunTimeAreRefusedForTheLayersThatHaveThem) {
  const auto with = [](const std::string& target, const std::string& location) {
    return R"({"quant_method": "compressed-tensors", "format": "int-quantized",
               "transform_config": {"config_groups": {"R4": {"type": "hadamard", "apply": [
                 {"targets": [")" +
           target + R"("], "location": ")" + location + R"("}]}}},
               "config_groups": {"g": {"targets": ["Linear"], "weights": {"strategy": "channel"},
                 "input_activations": {"strategy": "token", "dynamic": true}}}})";
  };
  EXPECT_TRUE(Contains(ErrorOfConfig(with("re:.*q_proj$", "input")), "transforms the input of"));
  EXPECT_EQ(ErrorOfConfig(with("re:.*q_proj$", "weight_input")), kReads);
  EXPECT_EQ(ErrorOfConfig(with("re:.*down_proj$", "input")), kReads);
}

}  // namespace
}  // namespace w8a8::test
