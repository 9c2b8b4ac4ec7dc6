// Where each family keeps the tensors of the one block description: the only place with checkpoint
// key names.
#pragma once

#include <string>
#include <vector>

#include "runtime/encoder/config.h"

namespace w8a8 {

// Key stems, relative to the tower's prefix. An empty stem: the family has no such tensor.
struct FamilyKeys {
  std::string patch_embed, position, pre_norm, norm, pool_norm;
  std::string class_token, distillation_token, register_tokens;
  int class_token_rank = 3;  // [1, 1, width], or [width]
  int position_rank = 2;     // [tokens, width], or [1, tokens, width]
  std::string block;         // followed by the block's number and a dot
  std::string norm1, norm2, proj, fc1, fc2, scale1, scale2, q_norm, k_norm;
  std::vector<std::string> qkv;  // one fused stem, or q, k, v
  bool qkv_bias_optional = false;
  // Beside the tower, not in it: "classifier" next to "vit.".
  std::string head, distillation_head, projection;
  bool head_beside_tower = false;
  // A tensor under one of these, not asked for, would change what is computed.
  std::vector<std::string> computing_stems;
};

FamilyKeys KeysOf(const EncoderConfig& config);

}  // namespace w8a8
