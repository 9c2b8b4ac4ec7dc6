// What an encoder is, independent of the checkpoint family it came from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace w8a8 {

enum class NormKind : uint8_t { kLayerNorm, kRmsNorm };
enum class ActivationKind : uint8_t { kGeluErf, kGeluTanh, kQuickGelu, kSilu };
// How a position table is brought to another grid than the stored one. All are align_corners=False
// in binary32, whichever dtype the checkpoint has.
enum class PositionResize : uint8_t {
  kNone,               // not at all: the image must have the table's grid
  kBicubic,            // torch's, a = -0.75 (InternViT, DINOv2)
  kBicubicAntialias,   // a = -0.5 (DINOv2 with registers)
  kBilinearAntialias,  // SigLIP 2 NaFlex
};
enum class PoolKind : uint8_t {
  kNone,            // no pooled output
  kFirstToken,      // the class token
  kMean,            // mean over patch tokens
  kAttentionProbe,  // SigLIP's MAP head
};
// What the classifier reads of an image.
enum class HeadInput : uint8_t {
  kPooled,         // the pooled row
  kMeanOfPatches,  // the mean of the patch tokens, beside whatever is pooled (CLIP, SigLIP)
  kPooledAndMean,  // the pooled row, then the mean of the patch tokens (DINOv2)
};

// Patches of an image, down and across.
struct PatchGrid {
  int64_t rows = 0;
  int64_t cols = 0;

  bool given() const { return rows > 0; }
  int64_t patches() const { return rows * cols; }
  friend bool operator==(PatchGrid, PatchGrid) = default;
};

// How a block's feed-forward step is split into experts (moe.md sections 3 and 4).
struct MixtureConfig {
  int64_t experts = 0;              // in each block that has any; 0: all blocks are dense
  int64_t chosen = 0;               // experts that run for a token
  bool renormalized = false;        // the weights of the chosen ones sum to 1
  bool gated = false;               // an expert's fc1 makes gate and value, gate first
  int64_t width = 0;                // of an expert's hidden rows
  int64_t shared_width = 0;         // of the expert that every token goes through, gated; 0: none
  std::vector<bool> in_block = {};  // by block: whether it has experts
  // How the tensors of the experts are named and lie, which the tensors tell: one of the spellings
  // of family_keys.h, what stands between the block and its experts, and which layers have biases.
  std::string spelling = "plain";
  std::string stem = "mlp.";
  bool fc1_bias = true;
  bool fc2_bias = true;

  bool in(int64_t block) const { return experts > 0 && in_block[static_cast<size_t>(block)]; }
};

// One description for every family; see models.md section 6 for the table it was drawn from. All
// numbers are as the checkpoint states them or as its class defaults fill them in.
struct EncoderConfig {
  std::string family;  // the names of its tensors, see layout.h: "siglip", "timm-vit", ...
  std::string name;    // for reports: folder or architecture name
  int64_t width = 0;
  int64_t mlp_width = 0;
  int64_t heads = 0;
  int64_t blocks = 0;
  int64_t channels = 3;
  int64_t image_height = 0;
  int64_t image_width = 0;
  int64_t patch = 0;
  // The tokens before the patches, in this order: class token, distillation token, registers. The
  // registers have no row in the position table.
  int64_t prefix_tokens = 0;
  int64_t registers = 0;
  // The grid of the stored position table; 0: that of the image.
  int64_t position_rows = 0;
  int64_t position_cols = 0;
  PositionResize position_resize = PositionResize::kNone;
  // NaFlex: every image has a grid of its own. The image is then one row of the most patches that
  // one may have, patches() and tokens() are upper bounds, and the stored patch weight is that of a
  // linear layer over (y, x, channel).
  bool variable_grid = false;
  NormKind norm = NormKind::kLayerNorm;
  float norm_eps = 1e-6f;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool gated_mlp = false;  // fc1 makes gate and value, gate first: activation(gate) * value
  bool patch_bias = true;
  bool qkv_bias = true;
  bool pre_norm = false;   // a norm before block 0 (CLIP)
  bool final_norm = true;  // a norm over all tokens after the last block
  bool pool_norm = false;  // a norm over the pooled row (timm's fc_norm)
  bool layer_scale = false;
  bool qk_norm = false;  // RMS over the whole width, before the head split
  float qk_norm_eps = 1e-6f;
  MixtureConfig mixture;
  // Stored after the blocks that run, and checked like them (CuMo reads what enters its last one).
  int64_t unread_blocks = 0;
  PoolKind pool = PoolKind::kNone;
  int64_t pooler = 0;      // width of tanh(linear(pooled row)), which is then pooled; 0: not at all
  int64_t projection = 0;  // width of the image embedding, a projected pooled row; 0: none
  int64_t classes = 0;     // rows of the classifier; 0: no logits
  HeadInput head_input = HeadInput::kPooled;
  // Of a tower inside a model that reads its tokens: the first tokens of each image that it does
  // not read (a class token), and that it does not read the tower's own pooled output.
  int64_t unread_tokens = 0;
  bool pooled_unread = false;
  bool distilled_head = false;     // a second classifier reads token 1; the logits are their mean
  std::vector<std::string> notes;  // what was assumed or ignored, for the facts

  int64_t grid_rows() const { return image_height / patch; }
  int64_t grid_cols() const { return image_width / patch; }
  int64_t patches() const { return grid_rows() * grid_cols(); }
  int64_t tokens() const { return patches() + prefix_tokens; }
  int64_t table_rows() const { return position_rows > 0 ? position_rows : grid_rows(); }
  int64_t table_cols() const { return position_cols > 0 ? position_cols : grid_cols(); }
  int64_t table_tokens() const { return table_rows() * table_cols() + prefix_tokens - registers; }
  int64_t head_dim() const { return width / heads; }
};

// Reads config.json of a Hugging Face or timm folder (or of a `quantized/` folder of ours).
// `prefix` chooses the tower where a checkpoint holds several, whose shapes or tensors tell what
// the config does not. Throws Error for a hub name, a missing folder, a family that is not
// supported, and values that do not fit.
EncoderConfig ReadEncoderConfig(const std::filesystem::path& folder,
                                const std::string& prefix = "");

// For a variable grid: the most patches that an image will have; a note says so.
void SetMaxPatches(int64_t patches, EncoderConfig* config);

// Makes `config` that of images of another size, as its family's own code does: the grid of the
// images is theirs, the position table is resized to it, and a note says so. Throws Error where the
// family's code would not run such images.
void SetImageSize(int64_t height, int64_t width, EncoderConfig* config);

}  // namespace w8a8
