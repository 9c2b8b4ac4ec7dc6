#include "runtime/encoder/family_keys.h"

#include <array>
#include <string_view>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// transformers' SiglipVisionModel; CLIP took the same names for the block.
FamilyKeys SiglipKeys() {
  FamilyKeys keys;
  keys.patch_embed = "embeddings.patch_embedding";
  keys.position = "embeddings.position_embedding.weight";
  keys.norm = "post_layernorm";
  keys.block = "encoder.layers.";
  keys.norm1 = "layer_norm1";
  keys.norm2 = "layer_norm2";
  keys.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  keys.proj = "self_attn.out_proj";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.computing_stems = {"embeddings.class_embedding", "pre_layrnorm."};
  return keys;
}

FamilyKeys TimmKeys() {
  FamilyKeys keys;
  keys.patch_embed = "patch_embed.proj";
  keys.class_token = "cls_token";
  keys.position = "pos_embed";
  keys.position_rank = 3;
  keys.pre_norm = "norm_pre";
  keys.norm = "norm";
  keys.pool_norm = "fc_norm";
  keys.head = "head";
  keys.block = "blocks.";
  keys.norm1 = "norm1";
  keys.norm2 = "norm2";
  keys.qkv = {"attn.qkv"};
  keys.qkv_bias_optional = true;
  keys.proj = "attn.proj";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.scale1 = "ls1.gamma";
  keys.scale2 = "ls2.gamma";
  keys.computing_stems = {"norm.",     "norm_pre.",   "fc_norm.",   "reg_token", "dist_token",
                          "head_dist", "pre_logits.", "attn_pool.", "rope"};
  return keys;
}

// OpenGVLab's InternVisionModel (model_type intern_vit_6b, whatever its size).
FamilyKeys InternVitKeys() {
  FamilyKeys keys;
  keys.patch_embed = "embeddings.patch_embedding";
  keys.class_token = "embeddings.class_embedding";
  keys.position = "embeddings.position_embedding";
  keys.position_rank = 3;
  keys.block = "encoder.layers.";
  keys.norm1 = "norm1";
  keys.norm2 = "norm2";
  keys.qkv = {"attn.qkv"};
  keys.q_norm = "attn.q_norm";
  keys.k_norm = "attn.k_norm";
  keys.proj = "attn.proj";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.scale1 = "ls1";
  keys.scale2 = "ls2";
  return keys;
}

// transformers' InternVLVisionModel.
FamilyKeys InternVlVisionKeys() {
  FamilyKeys keys;
  keys.patch_embed = "embeddings.patch_embeddings.projection";
  keys.class_token = "embeddings.cls_token";
  keys.position = "embeddings.position_embeddings";
  keys.position_rank = 3;
  keys.norm = "layernorm";
  keys.block = "encoder.layer.";
  keys.norm1 = "layernorm_before";
  keys.norm2 = "layernorm_after";
  keys.qkv = {"attention.q_proj", "attention.k_proj", "attention.v_proj"};
  keys.q_norm = "attention.q_norm";
  keys.k_norm = "attention.k_norm";
  keys.proj = "attention.projection_layer";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.scale1 = "lambda_1";
  keys.scale2 = "lambda_2";
  keys.computing_stems = {"layernorm."};
  return keys;
}

struct Family {
  std::string_view name;
  FamilyKeys (*keys)();
};
constexpr std::array<Family, 4> kFamilies = {{{"siglip", SiglipKeys},
                                              {"timm-vit", TimmKeys},
                                              {"internvit", InternVitKeys},
                                              {"internvl-vision", InternVlVisionKeys}}};

}  // namespace

FamilyKeys KeysOf(const EncoderConfig& config) {
  for (const Family& family : kFamilies) {
    if (config.family == family.name) return family.keys();
  }
  W8A8_CHECK(!"a family without key names");
  return {};
}

}  // namespace w8a8
