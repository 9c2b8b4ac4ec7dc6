// Folders of every scheme of compressed-tensors, read with the plan that they are stored with.
#include <gtest/gtest.h>

#include "runtime/base/half.h"
#include "runtime/encoder/weights.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFc2 = "vision_model.encoder.layers.0.mlp.fc2";
constexpr const char* kSite = "blocks.0.mlp.fc2";
constexpr int64_t kOutputs = 64, kInputs = 160;
constexpr const char* kToken = R"({"strategy": "token", "dynamic": true})";
constexpr const char* kStatic = R"({"strategy": "tensor"})";

// fc2 of block 0 is stored as `weight`, and the config says so.
fs::path FolderOf(
    const std::string& name, const WeightCodes& weight, const Storage& storage,
    const std::string& config,
    const std::function<void(OwnedTensors&)>& edit = [](OwnedTensors&) {}) {
  const fs::path folder = TinySiglipFolder(name);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    StoreCodes(tensors, kFc2, weight, storage);
    edit(tensors);
  });
  DescribeQuantization(folder, config);
  return folder;
}

std::string ChannelBits(int bits) {
  return R"({"strategy": "channel", "num_bits": )" + std::to_string(bits) + "}";
}

std::string Groups(int bits, int64_t size, bool symmetric) {
  return R"({"strategy": "group", "num_bits": )" + std::to_string(bits) + R"(, "group_size": )" +
         std::to_string(size) + R"(, "symmetric": )" + (symmetric ? "true}" : "false}");
}

WeightCodes Finished(const EncoderWeights& weights, const char* site = kSite) {
  WeightCodes codes = weights.Linear(site).codes.value();
  FinishCodes(site, codes);
  return codes;
}

SitePlan PlanOf(const fs::path& folder) {
  return EncoderWeights(folder, TinySiglip()).StoredSite(kSite).value();
}

TEST(StoredPlan, CodesOfEveryWidthAreReadInBothFormatsAndBothLayouts) {
  const Storage storages[] = {{}, {true, PackedLayout::kDense}, {true, PackedLayout::kAligned}};
  for (int bits = 2; bits <= 8; ++bits) {
    for (const Storage& storage : storages) {
      const WeightCodes expected = SmallCodes(kOutputs, kInputs, bits);
      const EncoderWeights weights(
          FolderOf("stored_widths", expected, storage,
                   OneGroup(storage.packed ? "pack-quantized" : "int-quantized", ChannelBits(bits),
                            kToken)),
          TinySiglip());
      EXPECT_EQ(Finished(weights), expected) << bits << " bits, packed " << storage.packed;
      EXPECT_EQ(weights.StoredSite(kSite)->weight, expected.Spec());
      EXPECT_EQ(weights.StoredSite(kSite)->input, Quantizer());
    }
  }
}

TEST(StoredPlan, GroupsAndZeroPointsAreReadInBothFormats) {
  for (const int bits : {3, 4, 8}) {
    for (const bool packed : {false, true}) {
      for (const int64_t group_size : {32, 160}) {
        const WeightCodes expected = SmallCodes(kOutputs, kInputs, bits, group_size, true);
        const EncoderWeights weights(
            FolderOf("stored_groups", expected, {packed, PackedLayout::kDense},
                     OneGroup(packed ? "pack-quantized" : "int-quantized",
                              Groups(bits, group_size, false))),
            TinySiglip());
        EXPECT_EQ(Finished(weights), expected) << bits << " bits, groups of " << group_size;
        const SitePlan plan = weights.StoredSite(kSite).value();
        EXPECT_EQ(plan.weight, expected.Spec());
        EXPECT_EQ(plan.input, std::nullopt);
      }
    }
  }
}

TEST(StoredPlan, PackedZeroPointsFollowTheLayoutOfTheWeights) {
  const WeightCodes expected = SmallCodes(kOutputs, kInputs, 3, 16, true);
  const EncoderWeights weights(
      FolderOf("stored_old_points", expected, {true, PackedLayout::kAligned},
               OneGroup("pack-quantized", Groups(3, 16, false))),
      TinySiglip());
  EXPECT_EQ(Finished(weights), expected);
}

TEST(StoredPlan, TheInputsOfAGroupAreThoseOfItsConfig) {
  const auto inputs_of = [](const std::string& inputs) {
    return PlanOf(FolderOf("stored_inputs", SmallCodes(kOutputs, kInputs, 8), {},
                           OneGroup("int-quantized", ChannelBits(8), inputs)))
        .input;
  };
  EXPECT_EQ(inputs_of("null"), std::nullopt);
  EXPECT_EQ(inputs_of(kToken), Quantizer());
  EXPECT_EQ(inputs_of(R"({"strategy": "token", "dynamic": true, "symmetric": false})"),
            Quantizer{.symmetric = false});
  const Quantizer groups{.granularity = Granularity::kGroup, .group_size = 32};
  EXPECT_EQ(inputs_of(R"({"strategy": "group", "group_size": 32, "dynamic": true})"), groups);
  EXPECT_EQ(inputs_of(R"({"strategy": "group", "group_size": 160, "dynamic": true})"), Quantizer());
}

TEST(StoredPlan, StaticScalesOfEveryFloatAreWidenedExactly) {
  const float third = ToFloat(ToHalf(1.0f / 3.0f));
  const auto scale = [&](Dtype dtype) {
    const fs::path folder =
        FolderOf("stored_static", SmallCodes(kOutputs, kInputs, 8), {},
                 OneGroup("int-quantized", ChannelBits(8), kStatic), [&](OwnedTensors& tensors) {
                   const std::string name = std::string(kFc2) + ".input_scale";
                   if (dtype == Dtype::kF32) tensors[name] = Floats({1}, {0.1f});
                   if (dtype == Dtype::kF16) {
                     tensors[name] = TensorOf(dtype, {1}, std::vector<Half>{ToHalf(third)});
                   }
                   if (dtype == Dtype::kBF16) {
                     tensors[name] = TensorOf(dtype, {}, std::vector<BFloat16>{ToBFloat16(0.75f)});
                   }
                 });
    return PlanOf(folder).input->scale;
  };
  EXPECT_EQ(scale(Dtype::kF32), 0.1f);
  EXPECT_EQ(scale(Dtype::kF16), third);
  EXPECT_EQ(scale(Dtype::kBF16), 0.75f);
}

TEST(StoredPlan, AnAsymmetricStaticInputHasItsZeroPoint) {
  const fs::path folder = FolderOf(
      "stored_asymmetric", SmallCodes(kOutputs, kInputs, 8), {},
      OneGroup("int-quantized", ChannelBits(8), R"({"strategy": "tensor", "symmetric": false})"),
      [](OwnedTensors& tensors) {
        tensors[std::string(kFc2) + ".input_scale"] = Floats({1}, {0.5f});
        tensors[std::string(kFc2) + ".input_zero_point"] =
            TensorOf(Dtype::kI8, {1}, std::vector<int8_t>{-100});
      });
  Quantizer expected = Quantizer::Static(0.5f);
  expected.symmetric = false;
  expected.zero_point = -100;
  EXPECT_EQ(PlanOf(folder).input, expected);
}

TEST(StoredPlan, OutputsOfW8A8O8HaveTheirScaleAndMayBeUncalibrated) {
  const auto plan_of = [](float input, float output) {
    return PlanOf(FolderOf("stored_outputs", SmallCodes(kOutputs, kInputs, 4, 32),
                           {true, PackedLayout::kDense},
                           OneGroup("pack-quantized", Groups(4, 32, true), kStatic, kStatic),
                           [&](OwnedTensors& tensors) {
                             tensors[std::string(kFc2) + ".input_scale"] = Floats({1}, {input});
                             tensors[std::string(kFc2) + ".output_scale"] = Floats({1}, {output});
                           }));
  };
  EXPECT_EQ(plan_of(0.5f, 0.25f).input, Quantizer::Static(0.5f));
  EXPECT_EQ(plan_of(0.5f, 0.25f).output, Quantizer::Static(0.25f));
  EXPECT_EQ(plan_of(0.0f, 0.25f).input, Quantizer::Static(0.0f));
  EXPECT_EQ(plan_of(0.5f, 0.0f).output, Quantizer::Static(0.0f));
  EXPECT_TRUE(Contains(ErrorOf([&] { plan_of(-1.0f, 0.5f); }), "fc2.input_scale"));
}

TEST(StoredPlan, ALoneScaleOfAWholeLayerIsPerTensor) {
  WeightCodes expected = SmallCodes(kOutputs, kInputs, 8);
  expected.scale = {Granularity::kTensor, 0, {0.25f}};
  const auto lone = [](OwnedTensors& tensors) {
    tensors[std::string(kFc2) + ".weight_scale"] = Floats({1}, {0.25f});
  };
  const EncoderWeights weights(
      FolderOf("stored_tensor", expected, {},
               OneGroup("int-quantized", R"({"strategy": "tensor"})"), lone),
      TinySiglip());
  EXPECT_EQ(Finished(weights), expected);
  EXPECT_EQ(weights.StoredSite(kSite)->weight, expected.Spec());
}

TEST(StoredPlan, PartsOfOneLayerStandOneUnderTheOther) {
  const fs::path folder = TinySiglipFolder("stored_parts");
  const WeightCodes part = SmallCodes(64, 64, 5, 16, true);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
      StoreCodes(tensors, std::string(kAttention) + name, part, {true, PackedLayout::kDense});
    }
  });
  DescribeQuantization(folder, OneGroup("pack-quantized", Groups(5, 16, false), kToken));
  const EncoderWeights weights(folder, TinySiglip());
  const WeightCodes qkv = Finished(weights, "blocks.0.attn.qkv");
  EXPECT_EQ(qkv.n, 192);
  for (const size_t rows : {0, 1, 2}) {
    const auto begins_at = [rows](const auto& all, const auto& one) {
      return std::equal(one.begin(), one.end(),
                        all.begin() + static_cast<std::ptrdiff_t>(rows * one.size()));
    };
    EXPECT_TRUE(begins_at(qkv.codes, part.codes)) << rows;
    EXPECT_TRUE(begins_at(qkv.scale.values, part.scale.values)) << rows;
    EXPECT_TRUE(begins_at(qkv.zero_points, part.zero_points)) << rows;
  }
}

TEST(StoredPlan, PackedLayersOutsideTheBlocksRunDequantized) {
  const WeightCodes fc1 = SmallCodes(160, 64, 4, 32, true);
  const fs::path folder = FolderOf(
      "stored_head", SmallCodes(kOutputs, kInputs, 4, 32, true), {true, PackedLayout::kDense},
      OneGroup("pack-quantized", Groups(4, 32, false)), [&](OwnedTensors& tensors) {
        StoreCodes(tensors, "vision_model.head.mlp.fc1", fc1, {true, PackedLayout::kDense});
      });
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_EQ(Equal(fc1.RealValues(), weights.Linear("pool.fc1").values), "");
  EXPECT_EQ(Equal(fc1.RealValues(), weights.RealValues("vision_model.head.mlp.fc1")), "");
  ASSERT_EQ(weights.notes().size(), 1u);
  EXPECT_EQ(weights.notes()[0],
            "1 layer(s) outside the blocks are stored as codes and run dequantized: pool.fc1");
}

TEST(StoredPlan, APresetOfFewerBitsStandsForGroupsOf128) {
  const fs::path folder =
      FolderOf("stored_preset", SmallCodes(kOutputs, kInputs, 4), {true, PackedLayout::kDense},
               R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
                   "config_groups": {"W4A16": ["Linear"]}})");
  const std::string message = ErrorOf([&] { EncoderWeights(folder, TinySiglip()); });
  EXPECT_TRUE(Contains(message, "fc2.weight_packed' has 160 inputs, which the group size 128"))
      << message;
}

}  // namespace
}  // namespace w8a8::test
