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
  bool fused_in_proj = false;  // torch's MultiheadAttention: "in_proj_weight", "in_proj_bias"
  std::string pooler, head, distillation_head, projection;
  bool projection_transposed = false;  // [width, projection], and its key has no ".weight"
  // A tensor under one of these, not asked for, would change what is computed.
  std::vector<std::string> computing_stems;
};

FamilyKeys KeysOf(const EncoderConfig& config);

// How the experts of a block are named behind "<block><stem>experts." (moe.md section 3).
struct ExpertKeys {
  std::string spelling;
  // One tensor for all experts, [experts, rows, columns], named as it is, as are its biases; not
  // stacked: modules "<expert>.<name>" with ".weight" and ".bias".
  bool stacked = false;
  bool transposed = false;       // stacked as y = x W
  std::vector<std::string> fc1;  // in the order of rows; gated ones have two modules, or a stack
  std::string fc2;
  std::string fc1_bias = {}, fc2_bias = {};  // of a stack
  bool gated() const { return stacked || fc1.size() > 1; }
};

// The fused pair lies in two ways under the same names: first as Linear, then transposed.
const std::vector<ExpertKeys>& AllExpertKeys();
const ExpertKeys& ExpertKeysOf(const MixtureConfig& mixture);

// The family whose tensors hold the same computation under other names ("clip" has
// "clip-openai"); "" where there is none.
std::string OtherNamesOf(const std::string& family);

}  // namespace w8a8
