// What the configs of several families have in common.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {

bool HasArchitecture(const JsonFields& fields, const char* name) {
  if (!fields.Has("architectures")) return false;
  const nlohmann::json& classes = fields.raw().at("architectures");
  return classes.is_array() && std::find(classes.begin(), classes.end(), name) != classes.end();
}

const TensorView& ShapedTensor(const Checkpoint& checkpoint, const std::string& key, size_t rank,
                               const char* of) {
  const TensorView* tensor = checkpoint.Find(key);
  if (tensor == nullptr) {
    Fail("{}: tensor '{}' is missing; this is not {}.", checkpoint.folder().string(), key, of);
  }
  if (tensor->shape.size() != rank) {
    Fail("{}: tensor '{}' has shape {}; expected {} dimensions.", checkpoint.folder().string(), key,
         tensor->ShapeText(), rank);
  }
  return *tensor;
}

int64_t OutputsOfLayer(const Checkpoint& checkpoint, const std::string& stem, const char* of) {
  const bool packed = checkpoint.Find(stem + ".weight_packed") != nullptr;
  return ShapedTensor(checkpoint, stem + (packed ? ".weight_packed" : ".weight"), 2, of).shape[0];
}

EncoderConfig ReadTransformerSizes(const JsonFields& fields, const TransformerDefaults& defaults) {
  EncoderConfig config;
  config.width = fields.Int("hidden_size", defaults.width, 1, kMaxWidth);
  config.mlp_width = fields.Int("intermediate_size", defaults.mlp_width, 1, kMaxWidth);
  config.blocks = fields.Int("num_hidden_layers", defaults.blocks, 1, kMaxBlocks);
  config.heads = fields.Int("num_attention_heads", defaults.heads, 1, kMaxWidth);
  config.channels = fields.Int("num_channels", 3, 1, 64);
  std::tie(config.image_height, config.image_width) =
      fields.Sides("image_size", defaults.image, kMaxImageSide);
  const auto [patch_height, patch_width] =
      fields.Sides("patch_size", defaults.patch, kMaxImageSide);
  if (patch_height != patch_width) {
    Fail("{}: 'patch_size' is [{}, {}]; patches must be square.", fields.file(), patch_height,
         patch_width);
  }
  config.patch = patch_height;
  config.position_rows = config.grid_rows();
  config.position_cols = config.grid_cols();
  config.activation = ActivationFromName(fields, "hidden_act", defaults.activation);
  config.norm_eps = static_cast<float>(fields.Number("layer_norm_eps", defaults.norm_eps));
  return config;
}

NormKind NormFromName(const JsonFields& fields, const char* fallback) {
  const std::string name = fields.Text("norm_type", fallback);
  if (name == "layer_norm") return NormKind::kLayerNorm;
  if (name == "rms_norm") return NormKind::kRmsNorm;
  Fail("{}: 'norm_type' is '{}'; supported are layer_norm and rms_norm.", fields.file(), name);
}

ActivationKind ActivationFromName(const JsonFields& fields, const char* key,
                                  const std::string& fallback) {
  const std::string name = fields.Text(key, fallback);
  if (name == "gelu") return ActivationKind::kGeluErf;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return ActivationKind::kGeluTanh;
  if (name == "quick_gelu") return ActivationKind::kQuickGelu;
  if (name == "silu" || name == "swish") return ActivationKind::kSilu;
  Fail("{}: '{}' is '{}'; supported are gelu, gelu_pytorch_tanh, gelu_new, quick_gelu and silu.",
       fields.file(), key, name);
}

}  // namespace w8a8
