#include "tests/encoder/small_models.h"

#include <fstream>
#include <span>

#include <nlohmann/json.hpp>

#include "runtime/encoder/hash_checkpoint.h"
#include "tests/support/environment.h"

namespace w8a8::test {

namespace fs = std::filesystem;

EncoderConfig TinySiglip() {
  EncoderConfig config;
  config.family = "siglip";
  config.width = 64;
  config.mlp_width = 160;
  config.heads = 2;
  config.blocks = 2;
  config.image_height = 32;
  config.image_width = 32;
  config.patch = 8;
  config.pool = PoolKind::kAttentionProbe;
  return config;
}

fs::path TinySiglipFolder(const std::string& name) {
  const fs::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder, TinySiglip(), Dtype::kF32, /*seed=*/1);
  return folder;
}

OwnedTensor Floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {Dtype::kF32, std::move(shape), {bytes.begin(), bytes.end()}};
}

OwnedTensor Zeros(std::vector<int64_t> shape) {
  size_t count = 1;
  for (const int64_t side : shape) count *= static_cast<size_t>(side);
  return Floats(std::move(shape), std::vector<float>(count));
}

OwnedTensors ReadTensors(const fs::path& file) {
  OwnedTensors tensors;
  const SafetensorsFile mapped(file);
  for (const auto& [key, view] : mapped.tensors()) {
    tensors[key] = {view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}};
  }
  return tensors;
}

void WriteTensors(const fs::path& file, const OwnedTensors& tensors) {
  SafetensorsWriter writer;
  for (const auto& [key, tensor] : tensors) {
    writer.Add(key, tensor.dtype, tensor.shape, tensor.bytes);
  }
  writer.Write(file);
}

void EditTensors(const fs::path& folder, const std::function<void(OwnedTensors&)>& edit) {
  OwnedTensors tensors = ReadTensors(folder / "model.safetensors");
  edit(tensors);
  WriteTensors(folder / "model.safetensors", tensors);
}

void SplitIntoShards(const fs::path& folder, const std::string& split) {
  const OwnedTensors tensors = ReadTensors(folder / "model.safetensors");
  OwnedTensors parts[2];
  nlohmann::json map;
  for (const auto& [key, tensor] : tensors) {
    const int part = key < split ? 0 : 1;
    parts[part][key] = tensor;
    map[key] = part == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
  }
  WriteTensors(folder / "model-00001-of-00002.safetensors", parts[0]);
  WriteTensors(folder / "model-00002-of-00002.safetensors", parts[1]);
  fs::remove(folder / "model.safetensors");
  const nlohmann::json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", map}};
  WriteText(folder / "model.safetensors.index.json", index.dump());
}

void WriteText(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

}  // namespace w8a8::test
