#include "runtime/encoder/checkpoint.h"

#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSplit = "vision_model.encoder.layers.1.";
constexpr const char* kFirstShard = "model-00001-of-00002.safetensors";
constexpr const char* kSecondShard = "model-00002-of-00002.safetensors";

fs::path ShardedFolder(const std::string& name) {
  const fs::path folder = TinySiglipFolder(name);
  SplitIntoShards(folder, kSplit);
  return folder;
}

std::string ErrorOfOpening(const fs::path& folder) {
  return ErrorOf([&] { const Checkpoint opened(folder); });
}

TEST(Shards, GiveTheSameLayersAsOneFile) {
  const fs::path whole = TinySiglipFolder("shards_whole");
  const fs::path sharded = ShardedFolder("shards_split");
  const EncoderWeights expected(whole, TinySiglip());
  const EncoderWeights actual(sharded, TinySiglip());
  EXPECT_EQ(actual.files().size(), 2u);
  for (const char* stem : {"patch_embed", "blocks.0.attn.qkv", "blocks.1.mlp.fc2", "pool.kv"}) {
    EXPECT_EQ(actual.Linear(stem).values, expected.Linear(stem).values) << stem;
  }
  EXPECT_NE(actual.sha256(), expected.sha256());
}

TEST(Shards, MayBeSymbolicLinks) {
  const fs::path folder = ShardedFolder("shards_linked");
  fs::create_directory(folder / "blobs");
  for (const char* name : {kFirstShard, kSecondShard}) {
    fs::rename(folder / name, folder / "blobs" / name);
    fs::create_symlink(fs::path("blobs") / name, folder / name);
  }
  EXPECT_NO_THROW(EncoderWeights(folder, TinySiglip()));
}

TEST(Shards, AMissingShardIsNamed) {
  const fs::path folder = ShardedFolder("shards_missing");
  fs::remove(folder / kSecondShard);
  EXPECT_TRUE(Contains(ErrorOfOpening(folder), kSecondShard));
  fs::create_symlink("nowhere", folder / kSecondShard);
  EXPECT_TRUE(Contains(ErrorOfOpening(folder), "leads nowhere"));
}

TEST(Shards, AnIndexThatLiesIsFound) {
  const fs::path folder = ShardedFolder("shards_lie");
  WriteText(folder / "model.safetensors.index.json",
            std::string(R"({"weight_map": {"no.such.tensor": ")") + kFirstShard + "\"}}");
  const std::string message = ErrorOfOpening(folder);
  EXPECT_TRUE(Contains(message, "says that tensor 'no.such.tensor' is in")) << message;
}

TEST(Shards, AFileNameWithAFolderIsRefused) {
  for (const char* name : {"../model.safetensors", "a/b.safetensors", "..", ""}) {
    const fs::path folder = ShardedFolder("shards_escape");
    WriteText(folder / "model.safetensors.index.json",
              std::string(R"({"weight_map": {"x": ")") + name + "\"}}");
    EXPECT_TRUE(Contains(ErrorOfOpening(folder), "plain file name")) << name;
  }
}

TEST(Shards, ATensorInTwoShardsIsRefused) {
  const fs::path folder = ShardedFolder("shards_twice");
  OwnedTensors second = ReadTensors(folder / kSecondShard);
  second["vision_model.embeddings.patch_embedding.bias"] = Zeros({64});
  WriteTensors(folder / kSecondShard, second);
  EXPECT_TRUE(Contains(ErrorOfOpening(folder), "is also in another shard"));
}

TEST(Shards, AnEmptyOrWronglyTypedMapIsRefused) {
  const fs::path folder = ShardedFolder("shards_empty");
  WriteText(folder / "model.safetensors.index.json", R"({"weight_map": {}})");
  EXPECT_TRUE(Contains(ErrorOfOpening(folder), "'weight_map' is missing or empty"));
  WriteText(folder / "model.safetensors.index.json", R"({"weight_map": {"x": 3}})");
  EXPECT_TRUE(Contains(ErrorOfOpening(folder), "'weight_map.x' is 3"));
}

TEST(Checkpoint, OfTwoTowersOneIsChosenByThePrefixThatTheErrorNames) {
  const fs::path folder = ScratchFolder("checkpoint_towers");
  WriteTensors(folder / "model.safetensors",
               {{"a.weight", Zeros({1})}, {"ema.a.weight", Zeros({1})}});
  const Checkpoint both(folder);
  const std::string message = ErrorOf([&] { both.FindTower("a.weight", ""); });
  EXPECT_TRUE(Contains(message, "choose one of the prefixes '.', 'ema.'")) << message;
  EXPECT_EQ(both.FindTower("a.weight", "."), "");
  EXPECT_EQ(both.FindTower("a.weight", "ema."), "ema.");
  EXPECT_EQ(both.FindTower("a.weight", "ema"), "ema.");
  EXPECT_TRUE(both.HasTower("a.weight", "ema") && !both.HasTower("a.weight", "other"));
}

TEST(Checkpoint, AFolderWithoutWeightsSaysWhatItHolds) {
  const fs::path folder = ScratchFolder("checkpoint_other");
  WriteTensors(folder / "adapter.safetensors", {{"x", Zeros({1})}});
  const std::string message = ErrorOfOpening(folder);
  EXPECT_TRUE(Contains(message, "holds neither model.safetensors")) << message;
  EXPECT_TRUE(Contains(message, "adapter.safetensors")) << message;
}

}  // namespace
}  // namespace w8a8::test
