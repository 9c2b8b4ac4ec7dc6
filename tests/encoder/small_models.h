// Small checkpoints for tests, and edits to them: each test says only what it changes.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8::test {

// 2 blocks of width 64, mlp 160, 2 heads, 32 x 32 pixels in patches of 8, with the MAP head.
EncoderConfig TinySiglip();

// A hash checkpoint of TinySiglip() (F32, seed 1) in a fresh scratch folder.
std::filesystem::path TinySiglipFolder(const std::string& name);

// A tensor that owns its bytes.
struct OwnedTensor {
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using OwnedTensors = std::map<std::string, OwnedTensor>;

OwnedTensor Floats(std::vector<int64_t> shape, const std::vector<float>& values);
OwnedTensor Zeros(std::vector<int64_t> shape);
OwnedTensors ReadTensors(const std::filesystem::path& file);
void WriteTensors(const std::filesystem::path& file, const OwnedTensors& tensors);

// Rewrites folder/model.safetensors after `edit`.
void EditTensors(const std::filesystem::path& folder,
                 const std::function<void(OwnedTensors&)>& edit);

// Replaces model.safetensors by two shards and their index: keys in [.., `split`) and [`split`,
// ..).
void SplitIntoShards(const std::filesystem::path& folder, const std::string& split);

void WriteText(const std::filesystem::path& file, const std::string& text);

}  // namespace w8a8::test
