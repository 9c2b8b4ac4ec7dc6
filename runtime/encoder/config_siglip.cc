// SiglipVisionConfig of transformers: fields and class defaults.
#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// Bounds that no vision encoder comes near and that keep every product of sizes inside 64 bits.
constexpr int64_t kMaxWidth = 65'536;
constexpr int64_t kMaxBlocks = 1'000;
constexpr int64_t kMaxImageSide = 16'384;

}  // namespace

EncoderConfig ReadSiglipConfig(const JsonFields& vision) {
  EncoderConfig config;
  config.family = "siglip";
  config.width = vision.Int("hidden_size", 768, 1, kMaxWidth);
  config.mlp_width = vision.Int("intermediate_size", 3072, 1, kMaxWidth);
  config.blocks = vision.Int("num_hidden_layers", 12, 1, kMaxBlocks);
  config.heads = vision.Int("num_attention_heads", 12, 1, kMaxWidth);
  config.channels = vision.Int("num_channels", 3, 1, 64);
  config.image_height = vision.Int("image_size", 224, 1, kMaxImageSide);
  config.image_width = config.image_height;
  config.patch = vision.Int("patch_size", 16, 1, kMaxImageSide);
  config.activation = ActivationFromName(vision, "hidden_act", "gelu_pytorch_tanh");
  config.norm_eps = static_cast<float>(vision.Number("layer_norm_eps", 1e-6));
  config.pool = vision.Bool("vision_use_head", true) ? PoolKind::kAttentionProbe : PoolKind::kNone;
  return config;
}

}  // namespace w8a8
