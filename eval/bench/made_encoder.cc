#include "eval/bench/made_encoder.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

EncoderConfig SiglipOf(const char* name, int64_t width, int64_t mlp_width, int64_t heads) {
  EncoderConfig config;
  config.family = "siglip";
  config.name = name;
  config.width = width;
  config.mlp_width = mlp_width;
  config.heads = heads;
  config.pool = PoolKind::kAttentionProbe;
  return config;
}

void SetImages(int64_t side, int64_t patch, EncoderConfig* config) {
  config->image_height = config->image_width = side;
  config->patch = patch;
}

EncoderConfig InternVitOf(const char* name, int64_t width, int64_t mlp_width, int64_t heads) {
  EncoderConfig config;
  config.family = "internvit";
  config.name = name;
  config.width = width;
  config.mlp_width = mlp_width;
  config.heads = heads;
  config.prefix_tokens = 1;
  config.activation = ActivationKind::kGeluErf;
  config.layer_scale = true;
  config.final_norm = false;
  config.pool = PoolKind::kFirstToken;
  SetImages(448, 14, &config);
  return config;
}

std::vector<float> HashValues(const std::string& name, int64_t count, float scale, float offset) {
  const uint64_t seed = HashText(name);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = offset + scale * HashUniform(seed, i);
  return values;
}

int64_t Elements(const StoredTensor& tensor) {
  int64_t count = 1;
  for (const int64_t side : tensor.shape) count *= side;
  return count / tensor.shape.front() * tensor.rows;
}

}  // namespace

std::vector<MadeEncoder> MadeEncoders(int64_t most_blocks) {
  EncoderConfig tiny;
  tiny.family = "timm-vit";
  tiny.name = "ViT-Ti/16";
  tiny.width = 192;
  tiny.mlp_width = 768;
  tiny.heads = 3;
  tiny.blocks = 12;
  tiny.prefix_tokens = 1;
  tiny.activation = ActivationKind::kGeluErf;
  tiny.pool = PoolKind::kFirstToken;
  tiny.classes = 1000;
  SetImages(224, 16, &tiny);
  EncoderConfig base = SiglipOf("base/16-224", 768, 3072, 12);
  base.blocks = 12;
  SetImages(224, 16, &base);
  EncoderConfig so400m = SiglipOf("so400m/14-384", 1152, 4304, 16);
  so400m.blocks = std::min<int64_t>(most_blocks, 27);
  SetImages(384, 14, &so400m);
  return {{"vit-ti", tiny, 12}, {"base", base, 12}, {"so400m", so400m, 27}};
}

std::vector<MadeEncoder> WideEncoders(int64_t most_blocks) {
  EncoderConfig small = InternVitOf("InternViT-300M", 1024, 4096, 16);
  small.blocks = std::min<int64_t>(most_blocks, 24);
  EncoderConfig large = InternVitOf("InternViT-6B", 3200, 12800, 25);
  large.blocks = std::min<int64_t>(most_blocks, 45);
  large.norm = NormKind::kRmsNorm;
  large.qkv_bias = false;
  large.qk_norm = true;
  return {{"internvit-300m", small, 24}, {"internvit-6b", large, 45}};
}

MadeEncoder SmallEncoder() {
  EncoderConfig config = SiglipOf("small", 64, 160, 2);
  config.blocks = 2;
  SetImages(32, 8, &config);
  return {"small", config, config.blocks};
}

MadeWeights::MadeWeights(const EncoderConfig& config) : layout_(LayoutOf(config)) {}

LinearParameters MadeWeights::Linear(const std::string& stem) const {
  const auto layer = std::ranges::find(layout_.linears, stem, &LinearLayout::stem);
  W8A8_CHECK(layer != layout_.linears.end());
  LinearParameters linear;
  linear.n = layer->n;
  linear.k = layer->k;
  linear.values =
      HashValues(stem, layer->n * layer->k, std::sqrt(3.0f / static_cast<float>(layer->k)), 0.0f);
  if (!layer->biases.empty()) linear.bias = HashValues(stem + ".bias", layer->n, 0.0625f, 0.0f);
  return linear;
}

std::vector<float> MadeWeights::Vector(const std::string& stem, const char* part) const {
  const std::string name = *part == '\0' ? stem : stem + "." + part;
  const auto vector = std::ranges::find(layout_.vectors, name, &VectorLayout::name);
  if (vector == layout_.vectors.end()) return {};
  const bool weight = std::string(part) == "weight";
  std::vector<float> values;
  for (const StoredTensor& tensor : vector->tensors) {
    const std::vector<float> made =
        HashValues(tensor.key, Elements(tensor), weight ? 0.25f : 0.0625f, weight ? 1.0f : 0.0f);
    values.insert(values.end(), made.begin(), made.end());
  }
  return values;
}

const EncoderWeights& MadeWeights::checkpoint() const {
  CheckFailed("made weights have no checkpoint", __FILE__, __LINE__);
}

std::vector<float> MadePixels(const EncoderConfig& config, uint64_t seed) {
  const int64_t count = config.channels * config.image_height * config.image_width;
  return HashValues(fmt::format("image {}", seed), count, 1.0f, 0.0f);
}

std::optional<InputImage> MadeImageSource::Next() {
  if (next_ == count_) return std::nullopt;
  InputImage image;
  image.key.image.name = fmt::format("made {}", next_);
  image.key.image.sha256 = Sha256Hex(image.key.image.name);
  image.pixels = MadePixels(config_, static_cast<uint64_t>(next_++));
  return image;
}

}  // namespace w8a8
