// Reading INT8 sites as compressed-tensors stores them.
#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead = "vision_model.head.mlp.fc1";

constexpr const char* kCovers =
    R"({"quant_method": "compressed-tensors", "format": "int-quantized",
        "config_groups": {"g": {"targets": ["Linear"], "weights": {"strategy": "channel"},
          "input_activations": {"strategy": "token", "dynamic": true}}}})";

OwnedTensor Brains(std::vector<int64_t> shape, uint16_t bits) {
  OwnedTensor tensor{Dtype::kBF16, std::move(shape), {}};
  for (int64_t i = 0; i < tensor.shape.front(); ++i) {
    tensor.bytes.push_back(static_cast<std::byte>(bits & 0xff));
    tensor.bytes.push_back(static_cast<std::byte>(bits >> 8));
  }
  return tensor;
}

TEST(QuantizedFolder, GivesCodesAndScalesOfAllParts) {
  const fs::path folder = QuantizedFolder("quantized_codes");
  DescribeQuantization(folder, kCovers);
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_TRUE(weights.quantized());
  EXPECT_TRUE(weights.notes().empty());
  const LinearParameters qkv = weights.Linear("blocks.0.attn.qkv");
  EXPECT_TRUE(qkv.values.empty());
  ASSERT_EQ(qkv.codes->codes.size(), 192u * 64u);
  EXPECT_EQ(qkv.codes->codes[0], -128);
  EXPECT_EQ(qkv.codes->codes[64 * 64 + 1], -127);
  ASSERT_EQ(qkv.codes->scale.values.size(), 192u);
  EXPECT_EQ(qkv.codes->scale.values[64], Scales(64)[0]);
  EXPECT_EQ(qkv.bias.size(), 192u);
  EXPECT_EQ(weights.StoredSite("blocks.0.attn.qkv"), SitePlan());
  EXPECT_FALSE(weights.Linear("blocks.0.mlp.fc1").codes);
}

TEST(QuantizedFolder, AStaticInputScaleIsSharedByAllParts) {
  const auto set_scales = [](OwnedTensors& tensors) {
    for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
      tensors[std::string(kAttention) + part + ".input_scale"] = Floats({1}, {0.25f});
    }
  };
  const EncoderWeights weights(QuantizedFolder("quantized_static", set_scales), TinySiglip());
  EXPECT_EQ(weights.StoredSite("blocks.0.attn.qkv")->input, Quantizer::Static(0.25f));
  const std::string unequal =
      ErrorOfReading(QuantizedFolder("quantized_unequal", [&](OwnedTensors& tensors) {
        set_scales(tensors);
        tensors[std::string(kAttention) + "v_proj.input_scale"] = Floats({1}, {0.5f});
      }));
  EXPECT_TRUE(Contains(unequal, "v_proj.input_scale' holds 0.5 where")) << unequal;
  EXPECT_TRUE(Contains(unequal, "q_proj.input_scale' holds 0.25;")) << unequal;
  EXPECT_TRUE(Contains(unequal, "model.safetensors: tensor '")) << unequal;
  const std::string partial =
      ErrorOfReading(QuantizedFolder("quantized_partial", [&](OwnedTensors& tensors) {
        set_scales(tensors);
        tensors.erase(std::string(kAttention) + "k_proj.input_scale");
      }));
  EXPECT_TRUE(Contains(partial, "k_proj.weight' is stored as weights of 8 bits")) << partial;
  EXPECT_TRUE(Contains(partial, "inputs per-token, but")) << partial;
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
    EXPECT_TRUE(Contains(message, "model.safetensors: tensor '")) << message;
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
        tensors.erase(std::string(kAttention) + "v_proj.weight_scale");
      }));
  EXPECT_TRUE(Contains(mixed, "where its neighbours are I8")) << mixed;
}

TEST(QuantizedFolder, LayersOutsideTheBlocksRunDequantized) {
  const fs::path folder = QuantizedFolder(
      "quantized_head", [](OwnedTensors& tensors) { QuantizeStem(tensors, kHead, 160, 64); });
  DescribeQuantization(folder, kCovers);
  const EncoderWeights weights(folder, TinySiglip());
  const LinearParameters fc1 = weights.Linear("pool.fc1");
  EXPECT_FALSE(fc1.codes);
  ASSERT_EQ(fc1.values.size(), 160u * 64u);
  EXPECT_EQ(fc1.values[1], -127 * Scales(160)[0]);
  EXPECT_EQ(fc1.values[159 * 64], 64 * Scales(160)[159]);
  ASSERT_EQ(weights.notes().size(), 1u);
  EXPECT_EQ(weights.notes()[0],
            "1 layer(s) outside the blocks are stored in INT8 and run dequantized: pool.fc1");
}

TEST(QuantizedFolder, APatchEmbeddingRunsDequantizedToo) {
  const fs::path folder = TinySiglipFolder("quantized_patches");
  EditTensors(folder, [](OwnedTensors& tensors) {
    const std::string stem = "vision_model.embeddings.patch_embedding";
    QuantizeStem(tensors, stem, 64, 3 * 8 * 8);
    tensors[stem + ".weight"].shape = {64, 3, 8, 8};
    tensors[stem + ".weight_scale"].shape = {64, 1, 1, 1};
  });
  const LinearParameters patches = EncoderWeights(folder, TinySiglip()).Linear("patch_embed");
  ASSERT_EQ(patches.values.size(), 64u * 192u);
  EXPECT_EQ(patches.values[2 * 192 + 1], 1 * Scales(64)[2]);  // code (385 + 128) mod 256
}

TEST(QuantizedFolder, AHeadInInt8MakesNoQuantizedFolder) {
  const fs::path folder = TinySiglipFolder("quantized_head_only");
  EditTensors(folder, [](OwnedTensors& tensors) { QuantizeStem(tensors, kHead, 160, 64); });
  EXPECT_FALSE(EncoderWeights(folder, TinySiglip()).quantized());
}

TEST(QuantizedFolder, OneScaleForAllRowsAndScalesOfAnyFloatAreRead) {
  const EncoderWeights weights(
      QuantizedFolder("quantized_tensor_scale",
                      [](OwnedTensors& tensors) {
                        const std::string stem(kAttention);
                        tensors[stem + "q_proj.weight_scale"] = Floats({1}, {0.5f});
                        tensors[stem + "k_proj.weight_scale"] = Floats({}, {0.25f});
                        tensors[stem + "v_proj.weight_scale"] = Brains({64, 1}, 0x3f80);
                      }),
      TinySiglip());
  const std::vector<float> scales = weights.Linear("blocks.0.attn.qkv").codes->scale.values;
  ASSERT_EQ(scales.size(), 192u);
  EXPECT_EQ(scales[63], 0.5f);
  EXPECT_EQ(scales[127], 0.25f);
  EXPECT_EQ(scales[191], 1.0f);
}

TEST(QuantizedFolder, ScalesOfGroupsOfInputsAreNamed) {
  const std::string message =
      ErrorOfReading(QuantizedFolder("quantized_groups", [](OwnedTensors& tensors) {
        tensors[std::string(kAttention) + "q_proj.weight_scale"] = Zeros({64, 2});
      }));
  EXPECT_TRUE(Contains(message, "q_proj.weight_scale' is F32 [64, 2], expected [64, 1]"))
      << message;
}

TEST(QuantizedFolder, ZeroPointsOfZeroAreSymmetric) {
  const auto with_points = [](const std::string& name, std::byte last) {
    const fs::path folder = QuantizedFolder(name, [last](OwnedTensors& tensors) {
      const std::string stem = std::string(kAttention) + "q_proj";
      tensors[stem + ".weight_zero_point"] = {Dtype::kI8, {64, 1}, std::vector<std::byte>(64)};
      tensors[stem + ".weight_zero_point"].bytes[63] = last;
      tensors[stem + ".input_zero_point"] = {Dtype::kI8, {1}, std::vector<std::byte>(1)};
    });
    DescribeQuantization(folder, kCovers);
    return folder;
  };
  const fs::path folder = with_points("quantized_zero_points", std::byte{0});
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_EQ(weights.Linear("blocks.0.attn.qkv").codes->codes.size(), 192u * 64u);
  EXPECT_TRUE(weights.notes().empty());
  const std::string message = ErrorOfReading(with_points("quantized_points", std::byte{3}));
  EXPECT_TRUE(
      Contains(message, "q_proj.weight_zero_point' is not 0 at element 63, but its weights"))
      << message;
}

}  // namespace
}  // namespace w8a8::test
