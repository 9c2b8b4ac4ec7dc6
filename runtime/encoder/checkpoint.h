// The weight files of a model folder: one model.safetensors, or shards with their index.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/safetensors.h"

namespace w8a8 {

// Throws Error unless `folder` is a directory. For a hub name ("google/siglip-base-patch16-224")
// and for a folder that holds only .bin or .pth weights the message is the command that fetches or
// converts them.
void RequireModelFolder(const std::filesystem::path& folder);

// Where VILA keeps its vision encoder, a model folder of its own.
constexpr const char* kTowerFolder = "vision_tower";

// `folder`, or its sub-folder vision_tower/ where that holds the encoder of a VILA checkpoint.
std::filesystem::path TowerFolder(const std::filesystem::path& folder);

// Whether `folder` holds safetensors weights under the names that are read.
bool HasWeights(const std::filesystem::path& folder);

// All tensors of all shards, mapped. Construction makes every check on the index: plain file names,
// every shard exists (symbolic links are fine), every mapped tensor is in the shard that the index
// names, no tensor is in two shards. Tensors that the index does not list are kept.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& folder);

  const TensorView* Find(std::string_view key) const;  // nullptr if absent
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  bool Holds(size_t file, std::string_view key) const { return shards_[file].Find(key) != nullptr; }
  // "m/model.safetensors: tensor 'norm.weight'", for messages.
  std::string WhereIs(const TensorView& tensor) const;
  // The entry of the first shard that has one; nullptr if none has.
  const std::string* Metadata(const std::string& key) const;
  const std::vector<std::filesystem::path>& files() const { return files_; }
  const std::filesystem::path& folder() const { return folder_; }

  // The prefix X of the one tower whose tensor X + `anchor` exists. `wanted` chooses one where
  // there are several ("" lets the checkpoint decide, "." is the one without a prefix; a missing
  // final dot is added). Throws Error that lists the candidates.
  std::string FindTower(std::string_view anchor, const std::string& wanted) const;
  // Whether one exists: at `wanted`, or anywhere where that is empty.
  bool HasTower(std::string_view anchor, const std::string& wanted = "") const;

 private:
  std::vector<std::string> PrefixesOf(std::string_view anchor) const;
  void OpenShards(const std::filesystem::path& index);
  void AddFile(const std::filesystem::path& path);

  std::filesystem::path folder_;
  std::vector<SafetensorsFile> shards_;
  std::vector<std::filesystem::path> files_;
  std::map<std::string, TensorView, std::less<>> tensors_;  // views into shards_
};

}  // namespace w8a8
