// Whole encoders against other people's arithmetic: a trained ViT-Ti against binary64, SigLIP
// checkpoints of the counter hash against torch.
#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/counter_hash.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

// Relative L2 errors of the naive version, a plain simulation with FP16 slots; of the tapped blocks
// the worst.
constexpr double kNaiveLogits = 1.5e-3;
constexpr double kNaiveBlocks = 2.5e-3;
constexpr int kTappedBlocks[] = {0, 5, 8, 11};

struct GoldenErrors {
  double logits = 0;
  std::map<int, double> blocks;

  // Empty if all are within the level; else the first that is not.
  std::string BeyondTwiceNaive() const {
    std::string message = TwiceNaive(kNaiveLogits, logits);
    if (!message.empty()) return "logits: " + message;
    for (const auto& [block, error] : blocks) {
      message = TwiceNaive(kNaiveBlocks, error);
      if (!message.empty()) return fmt::format("block {}: {}", block, message);
    }
    return "";
  }
};

double ErrorOfTensor(const SafetensorsFile& golden, const std::string& expected,
                     const SafetensorsFile& features, const std::string& actual) {
  return RelativeL2(Doubles(FloatValues(golden.Get(expected))), FloatValues(features.Get(actual)));
}

GoldenErrors VitTinyErrors(const std::filesystem::path& model, const std::string& scratch,
                           SlotStorage residual = SlotStorage::kHalf) {
  const SafetensorsFile golden(VitTinyFolder() / "golden_fp64.safetensors");
  const std::filesystem::path folder = ScratchFolder(scratch);
  const TensorView& input = golden.Get("input");
  const std::filesystem::path pixels =
      WritePixels(folder / "pixels.safetensors", input.shape, FloatValues(input));
  Options options = EncodeOptions(model, pixels, Precision::kFp16, folder / "out.safetensors");
  options.residual = residual;
  const SafetensorsFile features = Encode(options);
  GoldenErrors errors;
  errors.logits = ErrorOfTensor(golden, "logits", features, "logits");
  for (const int block : kTappedBlocks) {
    errors.blocks[block] = ErrorOfTensor(golden, fmt::format("block.{}.out", block), features,
                                         fmt::format("hidden_states.{}", block + 1));
  }
  return errors;
}

TEST(EncodeGolden, VitTinyInFp16IsCloseToBinary64) {
  if (VitTinyFolder().empty()) W8A8_SKIP_OR_FAIL("data", "no ViT-Ti folder");
  const GoldenErrors errors = VitTinyErrors(VitTinyFolder(), "vit_golden");
  std::printf("logits %.2e, naive %.1e\n", errors.logits, kNaiveLogits);
  for (const auto& [block, error] : errors.blocks) {
    std::printf("block %d %.2e, naive %.1e\n", block, error, kNaiveBlocks);
  }
  EXPECT_EQ(errors.BeyondTwiceNaive(), "");
}

TEST(EncodeGolden, VitTinyIsCloserToBinary64WithABinary32Residual) {
  if (VitTinyFolder().empty()) W8A8_SKIP_OR_FAIL("data", "no ViT-Ti folder");
  const GoldenErrors half = VitTinyErrors(VitTinyFolder(), "vit_golden");
  const GoldenErrors wide = VitTinyErrors(VitTinyFolder(), "vit_golden_fp32", SlotStorage::kFloat);
  std::printf("logits %.2e, with an FP16 residual %.2e\n", wide.logits, half.logits);
  for (const auto& [block, error] : wide.blocks) {
    std::printf("block %d %.2e, with an FP16 residual %.2e\n", block, error, half.blocks.at(block));
    EXPECT_LT(error, half.blocks.at(block)) << "block " << block;
  }
}

// A copy of the model in which one weight of `key` is `value` larger.
std::filesystem::path PerturbedVitTiny(const std::string& key, float value) {
  const std::filesystem::path folder = ScratchFolder("vit_perturbed");
  std::filesystem::copy_file(VitTinyFolder() / "config.json", folder / "config.json");
  const SafetensorsFile original(VitTinyFolder() / "model.safetensors");
  std::vector<float> changed = FloatValues(original.Get(key));
  changed[changed.size() / 2] += value;
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : original.tensors()) {
    writer.Add(name, tensor.dtype, tensor.shape,
               name == key ? std::as_bytes(std::span<const float>(changed)) : tensor.bytes);
  }
  writer.Write(folder / "model.safetensors");
  return folder;
}

TEST(EncodeGolden, OneWrongWeightOfVitTinyIsNotCloseToBinary64) {
  if (VitTinyFolder().empty()) W8A8_SKIP_OR_FAIL("data", "no ViT-Ti folder");
  const auto folder = PerturbedVitTiny("blocks.5.attn.proj.weight", 0.5f);
  EXPECT_NE(VitTinyErrors(folder, "vit_perturbed_golden").BeyondTwiceNaive(), "");
}

EncoderConfig SiglipConfigOf(const nlohmann::json& json) {
  EncoderConfig config;
  config.family = "siglip";
  config.width = json.at("hidden_size");
  config.mlp_width = json.at("intermediate_size");
  config.blocks = json.at("num_hidden_layers");
  config.heads = json.at("num_attention_heads");
  config.channels = json.at("num_channels");
  config.image_height = config.image_width = json.at("image_size");
  config.patch = json.at("patch_size");
  config.norm_eps = json.at("layer_norm_eps");
  config.activation =
      json.at("hidden_act") == "gelu" ? ActivationKind::kGeluErf : ActivationKind::kGeluTanh;
  config.pool = json.at("vision_use_head") ? PoolKind::kAttentionProbe : PoolKind::kNone;
  return config;
}

Dtype DtypeOf(const std::string& name) {
  return name == "F32" ? Dtype::kF32 : name == "F16" ? Dtype::kF16 : Dtype::kBF16;
}

std::vector<float> Sampled(const std::vector<float>& values, size_t stride) {
  std::vector<float> sampled;
  for (size_t i = 0; i < values.size(); i += stride) sampled.push_back(values[i]);
  return sampled;
}

// The features of the checkpoint and pixels that a golden was made of (`seed` may be changed).
SafetensorsFile EncodeSiglip(const SafetensorsFile& golden, const std::string& name,
                             uint64_t seed_offset) {
  const auto& metadata = golden.metadata();
  const EncoderConfig config = SiglipConfigOf(nlohmann::json::parse(metadata.at("config")));
  const std::filesystem::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder / "model", config, DtypeOf(metadata.at("dtype")),
                      std::stoull(metadata.at("seed")) + seed_offset,
                      std::stoll(metadata.at("outliers")));
  const std::vector<int64_t> shape = {std::stoll(metadata.at("images")), config.channels,
                                      config.image_height, config.image_width};
  std::vector<float> pixels(static_cast<size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = HashUniform(HashText("pixels"), i);
  return Encode(EncodeOptions(folder / "model",
                              WritePixels(folder / "pixels.safetensors", shape, pixels),
                              Precision::kFp16, folder / "out.safetensors"));
}

// Our error over what torch's own FP16 model makes, the worst over all stored tensors.
double WorstShareOfTorch(const SafetensorsFile& golden, const SafetensorsFile& features,
                         const std::string& name) {
  const auto errors = nlohmann::json::parse(golden.metadata().at("errors"));
  const size_t stride = std::stoull(golden.metadata().at("stride"));
  double worst = 0;
  for (const auto& [tensor, expected] : golden.tensors()) {
    const size_t step = tensor == "pooler_output" ? 1 : stride;
    const double ours = RelativeL2(Doubles(FloatValues(expected)),
                                   Sampled(FloatValues(features.Get(tensor)), step));
    const double torch = errors.at(tensor).at("torch_fp16_sampled");
    std::printf("%s %s: %.2e, torch FP16 %.2e, ratio %.2f\n", name.c_str(), tensor.c_str(), ours,
                torch, ours / torch);
    worst = std::max(worst, ours / torch);
  }
  return worst;
}

TEST(EncodeGolden, SiglipInFp16IsAtMostTwiceAsFarFromTorchFp32AsTorchFp16) {
  for (const std::string name : {"tiny_f32", "tiny_bf16", "odd_f16", "base_f16"}) {
    const SafetensorsFile golden(GoldenFolder() / "encoder" / ("siglip_" + name + ".safetensors"));
    EXPECT_LE(WorstShareOfTorch(golden, EncodeSiglip(golden, name, 0), name), kTwiceNaive) << name;
  }
}

TEST(EncodeGolden, AnotherSiglipCheckpointIsFarFromTheGolden) {
  const SafetensorsFile golden(GoldenFolder() / "encoder/siglip_tiny_f32.safetensors");
  EXPECT_GT(WorstShareOfTorch(golden, EncodeSiglip(golden, "other", 1), "other"), kTwiceNaive);
}

}  // namespace
}  // namespace w8a8::test
