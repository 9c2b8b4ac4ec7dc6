#include "runtime/encoder/weights.h"

#include <limits>

#include <gtest/gtest.h>

#include "runtime/base/sha256.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTower = "vision_model.";
constexpr const char* kFirstBlock = "vision_model.encoder.layers.0.";

std::string ErrorOfLoading(const fs::path& folder, const std::string& prefix = "") {
  return ErrorOf([&] { const EncoderWeights weights(folder, TinySiglip(), prefix); });
}

std::vector<float> Stored(const fs::path& folder, const std::string& key) {
  const SafetensorsFile file(folder / "model.safetensors");
  return FloatValues(file.Get(key));
}

std::vector<float> Joined(std::vector<std::vector<float>> parts) {
  std::vector<float> all;
  for (const std::vector<float>& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(Weights, QkvIsTheRowsOfQThenKThenV) {
  const fs::path folder = TinySiglipFolder("weights_qkv");
  const EncoderWeights weights(folder, TinySiglip());
  const std::string stem = std::string(kFirstBlock) + "self_attn.";
  const LinearParameters qkv = weights.Linear("blocks.0.attn.qkv");
  EXPECT_EQ(qkv.n, 192);
  EXPECT_EQ(qkv.k, 64);
  EXPECT_EQ(
      Equal(Joined({Stored(folder, stem + "q_proj.weight"), Stored(folder, stem + "k_proj.weight"),
                    Stored(folder, stem + "v_proj.weight")}),
            qkv.values),
      "");
  EXPECT_EQ(
      Equal(Joined({Stored(folder, stem + "q_proj.bias"), Stored(folder, stem + "k_proj.bias"),
                    Stored(folder, stem + "v_proj.bias")}),
            qkv.bias),
      "");
  const LinearSource source = weights.Source("blocks.0.attn.qkv");
  EXPECT_EQ(source.stems,
            (std::vector<std::string>{stem + "q_proj", stem + "k_proj", stem + "v_proj"}));
  EXPECT_EQ(source.rows, (std::vector<int64_t>{64, 64, 64}));
}

TEST(Weights, TheProbesInProjectionIsSplitIntoQueryAndKeysWithValues) {
  const fs::path folder = TinySiglipFolder("weights_in_proj");
  const EncoderWeights weights(folder, TinySiglip());
  const LinearParameters query = weights.Linear("pool.q");
  const LinearParameters keys_values = weights.Linear("pool.kv");
  EXPECT_EQ(query.n, 64);
  EXPECT_EQ(keys_values.n, 128);
  EXPECT_EQ(Equal(Stored(folder, "vision_model.head.attention.in_proj_weight"),
                  Joined({query.values, keys_values.values})),
            "");
  EXPECT_EQ(Equal(Stored(folder, "vision_model.head.attention.in_proj_bias"),
                  Joined({query.bias, keys_values.bias})),
            "");
}

TEST(Weights, VectorsHaveTheirStoredValues) {
  const fs::path folder = TinySiglipFolder("weights_vectors");
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_EQ(Equal(Stored(folder, "vision_model.embeddings.position_embedding.weight"),
                  weights.Vector("position", "")),
            "");
  EXPECT_EQ(Equal(Stored(folder, std::string(kFirstBlock) + "layer_norm2.bias"),
                  weights.Vector("blocks.0.norm2", "bias")),
            "");
  EXPECT_TRUE(weights.Vector("blocks.0.ls1", "").empty());
}

TEST(Weights, Fp16AndBf16AreWidenedExactly) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16}) {
    const fs::path folder = ScratchFolder("weights_dtype");
    WriteHashCheckpoint(folder, TinySiglip(), dtype, /*seed=*/1);
    const std::vector<float> narrow =
        EncoderWeights(folder, TinySiglip()).Linear("blocks.0.mlp.fc1").values;
    const std::vector<float> wide = EncoderWeights(TinySiglipFolder("weights_f32"), TinySiglip())
                                        .Linear("blocks.0.mlp.fc1")
                                        .values;
    ASSERT_EQ(narrow.size(), wide.size());
    std::vector<float> rounded;
    for (const float value : wide) {
      rounded.push_back(dtype == Dtype::kF16 ? ToFloat(ToHalf(value)) : ToFloat(ToBFloat16(value)));
    }
    EXPECT_EQ(Equal(rounded, narrow), "") << DtypeName(dtype);
  }
}

TEST(Weights, AllMissingTensorsAreNamedInOneMessage) {
  const fs::path folder = TinySiglipFolder("weights_missing");
  EditTensors(folder, [](OwnedTensors& tensors) {
    tensors.erase("vision_model.post_layernorm.bias");
    tensors.erase(std::string(kFirstBlock) + "mlp.fc1.weight");
  });
  const std::string message = ErrorOfLoading(folder);
  EXPECT_TRUE(Contains(message, "2 tensor(s)")) << message;
  EXPECT_TRUE(Contains(message, "vision_model.post_layernorm.bias")) << message;
  EXPECT_TRUE(Contains(message, "layers.0.mlp.fc1.weight")) << message;
}

TEST(Weights, ManyMissingTensorsAreCounted) {
  const fs::path folder = TinySiglipFolder("weights_many_missing");
  EditTensors(folder, [](OwnedTensors& tensors) {
    std::erase_if(tensors, [](const auto& entry) {
      return entry.first.find("layers.1.") != std::string::npos;
    });
  });
  const std::string message = ErrorOfLoading(folder);
  EXPECT_TRUE(Contains(message, "16 tensor(s)")) << message;
  EXPECT_TRUE(Contains(message, "and 8 more")) << message;
}

TEST(Weights, AMissingPoolingHeadSaysHowToStateIt) {
  const fs::path folder = TinySiglipFolder("weights_no_head");
  EditTensors(folder, [](OwnedTensors& tensors) {
    std::erase_if(
        tensors, [](const auto& entry) { return entry.first.find(".head.") != std::string::npos; });
  });
  EXPECT_TRUE(Contains(ErrorOfLoading(folder), "\"vision_use_head\": false"));
  EncoderConfig headless = TinySiglip();
  headless.pool = PoolKind::kNone;
  EXPECT_NO_THROW(EncoderWeights(folder, headless));
}

TEST(Weights, AWrongShapeOrDtypeIsNamedWithWhatWasExpected) {
  const fs::path folder = TinySiglipFolder("weights_wrong");
  EditTensors(folder, [](OwnedTensors& tensors) {
    tensors["vision_model.embeddings.position_embedding.weight"] = Zeros({9, 64});
    tensors["vision_model.post_layernorm.bias"] = {Dtype::kI32, {64}, std::vector<std::byte>(256)};
  });
  const std::string message = ErrorOfLoading(folder);
  EXPECT_TRUE(Contains(message, "position_embedding.weight' has shape [9, 64], expected [16, 64]"))
      << message;
  EXPECT_TRUE(Contains(message, "post_layernorm.bias' has dtype I32, expected F32, F16 or BF16"))
      << message;
}

TEST(Weights, TheTowerIsFoundUnderAnyPrefix) {
  for (const std::string prefix : {"", "model.vision_tower.vision_model."}) {
    const fs::path folder = TinySiglipFolder("weights_prefix");
    EditTensors(folder, [&](OwnedTensors& tensors) {
      OwnedTensors renamed;
      for (auto& [key, tensor] : tensors) renamed[prefix + key.substr(13)] = tensor;
      renamed["language_model.layers.0.weight"] = Zeros({2});
      tensors = renamed;
    });
    const EncoderWeights weights(folder, TinySiglip());
    EXPECT_EQ(weights.Source("blocks.0.attn.proj").stems.front(),
              prefix + "encoder.layers.0.self_attn.out_proj");
  }
}

TEST(Weights, OfTwoTowersThePrefixChoosesOne) {
  const fs::path folder = TinySiglipFolder("weights_two_towers");
  EditTensors(folder, [](OwnedTensors& tensors) {
    OwnedTensors second;
    for (auto& [key, tensor] : tensors) second["other." + key] = tensor;
    tensors.merge(second);
  });
  const std::string message = ErrorOfLoading(folder);
  EXPECT_TRUE(Contains(message, "several vision towers")) << message;
  EXPECT_TRUE(Contains(message, "'other.vision_model.', 'vision_model.'")) << message;
  EXPECT_EQ(ErrorOfLoading(folder, "other.vision_model"), "no error was thrown");
  EXPECT_TRUE(
      Contains(ErrorOfLoading(folder, "third."), "no vision tower has the prefix 'third.'"));
}

// Video-LLaVA's image_tower and video_tower.
TEST(Weights, OfATowerForImagesBesideOneForVideosTheFormerIsTaken) {
  const fs::path folder = TinySiglipFolder("weights_video_tower");
  EditTensors(folder, [](OwnedTensors& tensors) {
    OwnedTensors towers;
    for (auto& [key, tensor] : tensors) {
      towers["model.image_tower." + key] = tensor;
      towers["model.video_tower." + key] = tensor;
    }
    tensors = towers;
  });
  EXPECT_EQ(EncoderWeights(folder, TinySiglip()).prefix(), "model.image_tower.vision_model.");
  const std::string videos = "model.video_tower.vision_model.";
  EXPECT_EQ(EncoderWeights(folder, TinySiglip(), videos).prefix(), videos);
}

TEST(Weights, AnotherFamilysCheckpointIsRefused) {
  const fs::path folder = ScratchFolder("weights_other_family");
  WriteTensors(folder / "model.safetensors", {{"blocks.0.norm1.weight", Zeros({64})}});
  EXPECT_TRUE(Contains(ErrorOfLoading(folder), "embeddings.patch_embedding.weight"));
}

TEST(Weights, TensorsThatAreNotUsedAreNoted) {
  const fs::path folder = TinySiglipFolder("weights_unused");
  EditTensors(folder, [](OwnedTensors& tensors) {
    tensors["vision_model.embeddings.position_ids"] = Zeros({1, 16});
    tensors["vision_model.encoder.layers.2.mlp.fc1.weight"] = Zeros({2});
    tensors["text_model.x"] = Zeros({2});
  });
  const EncoderWeights weights(folder, TinySiglip());
  ASSERT_EQ(weights.notes().size(), 1u);
  EXPECT_EQ(weights.notes()[0],
            "1 tensor(s) are not used: vision_model.encoder.layers.2.mlp.fc1.weight");
}

TEST(Weights, ATensorThatChangesTheComputationIsRefused) {
  for (const char* key : {"embeddings.class_embedding", "encoder.layers.0.ls1"}) {
    const fs::path folder = TinySiglipFolder("weights_computing");
    EditTensors(folder,
                [&](OwnedTensors& tensors) { tensors[kTower + std::string(key)] = Zeros({64}); });
    EXPECT_TRUE(Contains(ErrorOfLoading(folder), key));
  }
}

TEST(Weights, AValueThatIsNotFiniteIsFoundWhenItIsRead) {
  const fs::path folder = TinySiglipFolder("weights_nan");
  const std::string key = std::string(kFirstBlock) + "self_attn.k_proj.weight";
  EditTensors(folder, [&](OwnedTensors& tensors) {
    std::vector<float> values(64 * 64);
    values[77] = std::numeric_limits<float>::quiet_NaN();
    tensors[key] = Floats({64, 64}, values);
    values[77] = -std::numeric_limits<float>::infinity();
    tensors["vision_model.post_layernorm.weight"] =
        Floats({64}, {values.begin() + 64, values.begin() + 128});
  });
  const EncoderWeights weights(folder, TinySiglip());
  const std::string message = ErrorOf([&] { weights.Linear("blocks.0.attn.qkv"); });
  EXPECT_TRUE(Contains(message, key)) << message;
  EXPECT_TRUE(Contains(message, "element 77")) << message;
  EXPECT_TRUE(message.starts_with((folder / "model.safetensors").string() + ": ")) << message;
  EXPECT_TRUE(Contains(message, "fetch or convert it again")) << message;
  EXPECT_TRUE(
      Contains(ErrorOf([&] { weights.Vector("norm", "weight"); }), "post_layernorm.weight"));
  EXPECT_NO_THROW(weights.Linear("blocks.1.attn.qkv"));
}

TEST(Weights, AValueThatIsNotFiniteIsCountedFromTheStartOfItsTensorAndNamedWithItsShard) {
  const fs::path folder = TinySiglipFolder("weights_nan_shard");
  const std::string key = "vision_model.head.attention.in_proj_weight";
  EditTensors(folder, [&](OwnedTensors& tensors) {
    std::vector<float> values(192 * 64);
    values[70 * 64 + 3] = std::numeric_limits<float>::infinity();  // in the rows of the keys
    tensors[key] = Floats({192, 64}, values);
  });
  SplitIntoShards(folder, "vision_model.head");
  const EncoderWeights weights(folder, TinySiglip());
  const std::string message = ErrorOf([&] { weights.Linear("pool.kv"); });
  const std::string shard = (folder / "model-00002-of-00002.safetensors").string();
  EXPECT_TRUE(message.starts_with(shard + ": tensor '" + key + "' holds inf at element 4483;"))
      << message;
}

TEST(Weights, TheSha256OfOneFileIsTheFilesOwn) {
  const fs::path folder = TinySiglipFolder("weights_sha256");
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_EQ(weights.sha256(), Sha256HexOfFile(folder / "model.safetensors"));
}

TEST(Weights, TheSha256OfATowerLeavesOutShardsThatHoldNothingOfIt) {
  const fs::path folder = TinySiglipFolder("weights_sha256_tower");
  EditTensors(folder, [](OwnedTensors& tensors) { tensors["zzz.language"] = Zeros({2}); });
  SplitIntoShards(folder, "zzz");
  const EncoderWeights weights(folder, TinySiglip());
  EXPECT_EQ(weights.files().size(), 2u);
  EXPECT_EQ(weights.sha256(), Sha256HexOfFile(folder / "model-00001-of-00002.safetensors"));
}

// A ViT-B/16 of one narrow block, as transformers' `architecture` saves it.
fs::path VitFolder(const std::string& name, const std::string& architecture) {
  const fs::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder,
                      R"({"model_type": "vit", "hidden_size": 64, "num_attention_heads": 2,
                          "intermediate_size": 80, "num_hidden_layers": 1, "image_size": 32,
                          "num_labels": 5, "architectures": [")" +
                          architecture + "\"]}",
                      Dtype::kF32, /*seed=*/3);
  return folder;
}

TEST(Weights, WhetherAVitHasAPoolerItsTensorsTell) {
  const fs::path folder = VitFolder("weights_pooler", "ViTModel");
  EXPECT_EQ(ReadEncoderConfig(folder).pooler, 64);
  EditTensors(folder, [](OwnedTensors& tensors) {
    tensors.erase("pooler.dense.weight");
    tensors.erase("pooler.dense.bias");
  });
  const EncoderConfig without = ReadEncoderConfig(folder);
  EXPECT_EQ(without.pooler, 0);
  EXPECT_TRUE(Contains(without.notes.back(), "the checkpoint has no pooler"));
  EXPECT_NO_THROW(EncoderWeights(folder, without));
}

TEST(Weights, ATensorBesideTheTowerIsReadOrItsHeadIsSaidNotToBeRun) {
  const fs::path folder = VitFolder("weights_head", "ViTForImageClassification");
  EditTensors(folder, [](OwnedTensors& tensors) {
    OwnedTensors moved;
    for (auto& [key, tensor] : tensors) {
      moved[key.starts_with("classifier") ? key : "vit." + key] = std::move(tensor);
    }
    tensors = std::move(moved);
  });
  EncoderConfig config = ReadEncoderConfig(folder);
  const EncoderWeights run(folder, config);
  EXPECT_TRUE(run.Reads("classifier.weight") && run.Reads("classifier.bias"));
  EXPECT_TRUE(run.notes().empty());
  config.classes = 0;
  const EncoderWeights idle(folder, config);
  EXPECT_FALSE(idle.Reads("classifier.weight"));
  ASSERT_EQ(idle.notes().size(), 1u);
  EXPECT_TRUE(Contains(idle.notes().front(), "'classifier.weight' [5, 64] is not run"))
      << idle.notes().front();
}

TEST(Weights, TheRealModelHasEveryTensor) {
  if (DataFolder().empty()) W8A8_SKIP_OR_FAIL("data", "set W8A8_DATA");
  const EncoderConfig config = ReadEncoderConfig(VitTinyFolder());
  const EncoderWeights weights(VitTinyFolder(), config);
  EXPECT_TRUE(weights.notes().empty());
  EXPECT_EQ(weights.Linear("patch_embed").k, 768);
  EXPECT_EQ(weights.Linear("head").n, 1000);
  EXPECT_EQ(weights.Vector("position", "").size(), 197u * 192u);
  EXPECT_EQ(weights.Vector("prefix", "").size(), 192u);
}

}  // namespace
}  // namespace w8a8::test
