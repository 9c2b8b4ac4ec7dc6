// Reading INT8 sites as compressed-tensors stores them.
#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAttention = "vision_model.encoder.layers.0.self_attn.";

std::vector<float> Scales(size_t rows) {
  std::vector<float> scales(rows);
  for (size_t i = 0; i < rows; ++i) scales[i] = 0.001f * static_cast<float>(i + 1);
  return scales;
}

// Stores `stem` as codes -128, -127, ... (wrapping), with distinct scales.
void QuantizeStem(OwnedTensors& tensors, const std::string& stem, int64_t rows, int64_t inputs) {
  OwnedTensor codes{Dtype::kI8, {rows, inputs}, {}};
  for (int64_t i = 0; i < rows * inputs; ++i) {
    codes.bytes.push_back(static_cast<std::byte>((i + 128) & 0xff));
  }
  tensors[stem + ".weight"] = codes;
  tensors[stem + ".weight_scale"] = Floats({rows, 1}, Scales(static_cast<size_t>(rows)));
}

void QuantizeQkv(OwnedTensors& tensors) {
  for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
    QuantizeStem(tensors, std::string(kAttention) + part, 64, 64);
  }
}

fs::path QuantizedFolder(
    const std::string& name,
    const std::function<void(OwnedTensors&)>& edit = [](OwnedTensors&) {}) {
  const fs::path folder = TinySiglipFolder(name);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    QuantizeQkv(tensors);
    edit(tensors);
  });
  return folder;
}

std::string ErrorOfReading(const fs::path& folder) {
  return ErrorOf([&] { EncoderWeights(folder, TinySiglip()).Linear("blocks.0.attn.qkv"); });
}

TEST(QuantizedFolder, GivesCodesAndScalesOfAllParts) {
  const EncoderWeights weights(QuantizedFolder("quantized_codes"), TinySiglip());
  EXPECT_TRUE(weights.quantized());
  EXPECT_TRUE(weights.notes().empty());
  const LinearParameters qkv = weights.Linear("blocks.0.attn.qkv");
  EXPECT_TRUE(qkv.values.empty());
  ASSERT_EQ(qkv.codes.size(), 192u * 64u);
  EXPECT_EQ(qkv.codes[0], -128);
  EXPECT_EQ(qkv.codes[64 * 64 + 1], -127);
  ASSERT_EQ(qkv.weight_scale.size(), 192u);
  EXPECT_EQ(qkv.weight_scale[64], Scales(64)[0]);
  EXPECT_EQ(qkv.bias.size(), 192u);
  EXPECT_FALSE(qkv.input_scale.has_value());
  EXPECT_TRUE(weights.Linear("blocks.0.mlp.fc1").codes.empty());
}

TEST(QuantizedFolder, AStaticInputScaleIsSharedByAllParts) {
  const auto set_scales = [](OwnedTensors& tensors) {
    for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
      tensors[std::string(kAttention) + part + ".input_scale"] = Floats({1}, {0.25f});
    }
  };
  const EncoderWeights weights(QuantizedFolder("quantized_static", set_scales), TinySiglip());
  EXPECT_EQ(weights.Linear("blocks.0.attn.qkv").input_scale, 0.25f);
  const std::string unequal =
      ErrorOfReading(QuantizedFolder("quantized_unequal", [&](OwnedTensors& tensors) {
        set_scales(tensors);
        tensors[std::string(kAttention) + "v_proj.input_scale"] = Floats({1}, {0.5f});
      }));
  EXPECT_TRUE(Contains(unequal, "v_proj.input_scale")) << unequal;
  const std::string partial =
      ErrorOfReading(QuantizedFolder("quantized_partial", [&](OwnedTensors& tensors) {
        set_scales(tensors);
        tensors.erase(std::string(kAttention) + "k_proj.input_scale");
      }));
  EXPECT_TRUE(Contains(partial, "only 2 of the 3 parts")) << partial;
}

TEST(QuantizedFolder, AScaleThatIsNotAboveZeroIsNamed) {
  for (const float bad : {0.0f, -1.0f}) {
    const std::string message =
        ErrorOfReading(QuantizedFolder("quantized_zero", [&](OwnedTensors& tensors) {
          std::vector<float> scales = Scales(64);
          scales[5] = bad;
          tensors[std::string(kAttention) + "k_proj.weight_scale"] = Floats({64, 1}, scales);
        }));
    EXPECT_TRUE(Contains(message, "k_proj.weight_scale")) << message;
    EXPECT_TRUE(Contains(message, "element 5")) << message;
  }
}

TEST(QuantizedFolder, CodesWithoutScalesOrOfOnePartAreRefused) {
  const std::string lone =
      ErrorOfReading(QuantizedFolder("quantized_lone", [](OwnedTensors& tensors) {
        tensors.erase(std::string(kAttention) + "q_proj.weight_scale");
      }));
  EXPECT_TRUE(Contains(lone, "q_proj.weight_scale")) << lone;
  const std::string mixed =
      ErrorOfReading(QuantizedFolder("quantized_mixed", [](OwnedTensors& tensors) {
        tensors[std::string(kAttention) + "v_proj.weight"] = Zeros({64, 64});
      }));
  EXPECT_TRUE(Contains(mixed, "where its neighbours are I8")) << mixed;
}

TEST(QuantizedFolder, CodesOutsideASiteAreRefused) {
  const std::string message =
      ErrorOfReading(QuantizedFolder("quantized_head", [](OwnedTensors& tensors) {
        QuantizeStem(tensors, "vision_model.head.mlp.fc1", 160, 64);
      }));
  EXPECT_TRUE(Contains(message, "head.mlp.fc1.weight' has dtype I8")) << message;
}

TEST(QuantizedFolder, OtherSchemesAreRefusedByName) {
  const auto error_of = [](const std::string& quantization) {
    const fs::path folder = TinySiglipFolder("quantized_scheme");
    WriteText(folder / "config.json",
              R"({"model_type": "siglip", "quantization_config": )" + quantization + "}");
    return ErrorOf([&] { ReadEncoderConfig(folder); });
  };
  EXPECT_TRUE(Contains(error_of(R"({"quant_method": "gptq"})"), "'gptq'"));
  EXPECT_TRUE(
      Contains(error_of(R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})"),
               "'pack-quantized'"));
  const auto group = [&](const std::string& weights, const std::string& inputs) {
    return error_of(R"({"quant_method": "compressed-tensors", "format": "int-quantized",
                        "config_groups": {"g": {"weights": )" +
                    weights + R"(, "input_activations": )" + inputs + "}}}");
  };
  const std::string channel = R"({"num_bits": 8, "strategy": "channel"})";
  const std::string token = R"({"num_bits": 8, "strategy": "token", "dynamic": true})";
  EXPECT_EQ(group(channel, token), "no error was thrown");
  EXPECT_EQ(group(channel, R"({"strategy": "tensor"})"), "no error was thrown");
  EXPECT_TRUE(Contains(group(R"({"num_bits": 4, "strategy": "channel"})", token), "8-bit"));
  EXPECT_TRUE(Contains(group(R"({"strategy": "group"})", token), "'group'"));
  EXPECT_TRUE(Contains(group(channel, R"({"strategy": "token"})"), "static"));
  EXPECT_TRUE(Contains(group(channel, R"({"symmetric": false})"), "symmetric"));
  EXPECT_TRUE(Contains(group(channel, "null"), "W8A8"));
}

}  // namespace
}  // namespace w8a8::test
