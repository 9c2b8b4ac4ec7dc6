// What an encoder is, independent of the checkpoint family it came from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace w8a8 {

enum class NormKind : uint8_t { kLayerNorm, kRmsNorm };
enum class ActivationKind : uint8_t { kGeluErf, kGeluTanh, kQuickGelu, kSilu };
enum class PoolKind : uint8_t {
  kNone,            // no pooled output
  kFirstToken,      // the class token
  kMean,            // mean over patch tokens
  kAttentionProbe,  // SigLIP's MAP head
};

// One description for every family; see models.md section 6 for the table it was drawn from. All
// numbers are as the checkpoint states them or as its class defaults fill them in.
struct EncoderConfig {
  std::string family;  // "siglip", "timm-vit"
  std::string name;    // for reports: folder or architecture name
  int64_t width = 0;
  int64_t mlp_width = 0;
  int64_t heads = 0;
  int64_t blocks = 0;
  int64_t channels = 3;
  int64_t image_height = 0;
  int64_t image_width = 0;
  int64_t patch = 0;
  bool class_token = false;
  NormKind norm = NormKind::kLayerNorm;
  float norm_eps = 1e-6f;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool pre_norm = false;   // a norm before block 0 (CLIP)
  bool final_norm = true;  // a norm over all tokens after the last block
  bool pool_norm = false;  // a norm over the pooled row (timm's fc_norm)
  bool layer_scale = false;
  bool qk_norm = false;  // RMS over the whole width, before the head split
  PoolKind pool = PoolKind::kNone;
  int64_t classes = 0;             // rows of the classifier; 0: no logits
  std::vector<std::string> notes;  // what was assumed or ignored, for the facts

  int64_t grid_rows() const { return image_height / patch; }
  int64_t grid_cols() const { return image_width / patch; }
  int64_t patches() const { return grid_rows() * grid_cols(); }
  int64_t tokens() const { return patches() + (class_token ? 1 : 0); }
  int64_t head_dim() const { return width / heads; }
};

// Reads config.json of a Hugging Face or timm folder (or of a `quantized/` folder of ours). Throws
// Error for a hub name, a missing folder, a family that is not supported, and values that do not
// fit.
EncoderConfig ReadEncoderConfig(const std::filesystem::path& folder);

}  // namespace w8a8
