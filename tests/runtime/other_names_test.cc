// One computation under two sets of names: the same weights under the other names give equal bits.
#include <fstream>
#include <functional>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/export_quantized.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/weights.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/golden_case.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// Cuts rows * columns values into the stored tensors, one after the other.
void Cut(const std::vector<float>& values, const std::vector<StoredTensor>& parts,
         const std::string& prefix, OwnedTensors* tensors) {
  size_t next = 0;
  for (const StoredTensor& part : parts) {
    size_t count = 1;
    for (const int64_t side : part.shape) count *= static_cast<size_t>(side);
    std::vector<float> own(values.begin() + static_cast<std::ptrdiff_t>(next),
                           values.begin() + static_cast<std::ptrdiff_t>(next + count));
    next += count;
    if (part.transposed) {
      const std::vector<float> rows = own;
      const auto inner = static_cast<size_t>(part.shape[0]);
      for (size_t i = 0; i < count; ++i) own[i % inner * (count / inner) + i / inner] = rows[i];
    }
    (*tensors)[FullKey(prefix, part.key)] = Floats(part.shape, own);
  }
  EXPECT_EQ(next, values.size()) << parts.front().key;
}

// Rewrites `model` under the names of `family`, its tower at `prefix`, beside foreign tensors; the
// config becomes `config`.
void Rename(const fs::path& model, const std::string& family, const std::string& prefix,
            const nlohmann::json& config) {
  EncoderConfig encoder = ReadEncoderConfig(model);
  OwnedTensors tensors;
  {
    const EncoderWeights weights(model, encoder);
    encoder.family = family;
    const CheckpointLayout layout = LayoutOf(encoder);
    for (const LinearLayout& linear : layout.linears) {
      const LinearParameters parameters = weights.Linear(linear.stem);
      Cut(parameters.values, linear.weights, prefix, &tensors);
      if (!parameters.bias.empty()) Cut(parameters.bias, linear.biases, prefix, &tensors);
    }
    for (const VectorLayout& vector : layout.vectors) {
      Cut(weights.Vector(vector.name, ""), vector.tensors, prefix, &tensors);
    }
  }
  if (!prefix.empty()) tensors["language_model.layers.0.weight"] = Zeros({3, 5});
  WriteTensors(model / "model.safetensors", tensors);
  WriteText(model / "config.json", config.dump());
}

nlohmann::json ConfigOf(const fs::path& model) {
  return nlohmann::json::parse(std::ifstream(model / "config.json"));
}

// Runs before and after `rename`; what both runs have must be equal.
void ExpectEqualBits(const GoldenCase& made, const std::function<void()>& rename) {
  std::map<std::string, std::vector<float>> before;
  {
    const SafetensorsFile features = made.Run(Precision::kInt8);
    for (const auto& [name, tensor] : features.tensors()) before[name] = FloatValues(tensor);
  }
  rename();
  const SafetensorsFile features = made.Run(Precision::kInt8);
  for (const auto& [name, values] : before) {
    EXPECT_EQ(Equal(values, FloatValues(features.Get(name))), "") << name;
  }
}

TEST(OtherNames, InternVitOfAChatModelEqualsTransformers) {
  for (const char* name : {"internvl_small", "internvl_resized"}) {
    const GoldenCase made(name);
    const nlohmann::json old = ConfigOf(made.model);
    const nlohmann::json vision = {{"model_type", "intern_vit_6b"},
                                   {"hidden_size", old["hidden_size"]},
                                   {"intermediate_size", old["intermediate_size"]},
                                   {"num_hidden_layers", old["num_hidden_layers"]},
                                   {"num_attention_heads", old["num_attention_heads"]},
                                   {"image_size", old["image_size"][0]},
                                   {"patch_size", old["patch_size"][0]},
                                   {"qkv_bias", old["attention_bias"]},
                                   {"qk_normalization", old["use_qk_norm"]},
                                   {"norm_type", old["norm_type"]}};
    ExpectEqualBits(made, [&] {
      Rename(made.model, "internvit", "vision_model.",
             {{"model_type", "internvl_chat"}, {"select_layer", -1}, {"vision_config", vision}});
    });
    EXPECT_EQ(ReadEncoderConfig(made.model).family, "internvit");
    // InternVisionModel's pooler_output is last_hidden_state[:, 0, :].
    const SafetensorsFile features = made.Run(Precision::kFp16);
    const TensorView& tokens = features.Get("last_hidden_state");
    const std::vector<float> all = FloatValues(tokens);
    std::vector<float> class_tokens;
    for (int64_t image = 0; image < tokens.shape[0]; ++image) {
      const auto first = all.begin() + image * tokens.shape[1] * tokens.shape[2];
      class_tokens.insert(class_tokens.end(), first, first + tokens.shape[2]);
    }
    EXPECT_EQ(Equal(class_tokens, FloatValues(features.Get("pooler_output"))), "") << name;
  }
}

TEST(OtherNames, OpenAisClipEqualsTransformers) {
  const GoldenCase made("clip_small");
  ExpectEqualBits(made,
                  [&] { Rename(made.model, "clip-openai", "visual.", ConfigOf(made.model)); });
  const EncoderConfig config = ReadEncoderConfig(made.model);
  EXPECT_EQ(config.family, "clip-openai");
  const EncoderWeights weights(made.model, config);
  EXPECT_TRUE(Contains(ErrorOf([&] { CheckExportable(weights, BuildGraph(config)); }),
                       "attn.in_proj_weight' is a fused projection"));
}

TEST(OtherNames, MetasDinov2EqualsTransformers) {
  for (const char* name : {"dinov2_small", "dinov2_giant", "dinov2_registers"}) {
    const GoldenCase made(name);
    ExpectEqualBits(made, [&] { Rename(made.model, "dinov2-meta", "", ConfigOf(made.model)); });
    EXPECT_EQ(ReadEncoderConfig(made.model).family, "dinov2-meta");
  }
}

// timm's epsilon is 1e-6, transformers' 1e-12.
TEST(OtherNames, TimmsVitAndDistilledDeitEqualTransformers) {
  for (const auto& [name, architecture] :
       {std::pair("vit_small", "vit_wee_patch8_32"),
        std::pair("deit_small", "deit_wee_distilled_patch8_32")}) {
    const GoldenCase made(name);
    nlohmann::json config = ConfigOf(made.model);
    config["layer_norm_eps"] = 1e-6;
    WriteText(made.model / "config.json", config.dump());
    ExpectEqualBits(made, [&, architecture = architecture] {
      Rename(made.model, "timm-vit", "",
             {{"architecture", architecture},
              {"num_classes", 5},
              {"model_args", {{"num_heads", 2}}},
              {"pretrained_cfg", {{"input_size", {3, 32, 32}}}}});
    });
  }
}

}  // namespace
}  // namespace w8a8::test
