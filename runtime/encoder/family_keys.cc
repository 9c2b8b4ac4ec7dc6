#include "runtime/encoder/family_keys.h"

#include <algorithm>
#include <utility>

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
  keys.head = "^classifier";
  keys.computing_stems = {"embeddings.class_embedding", "pre_layrnorm."};
  return keys;
}

FamilyKeys TimmKeys() {
  FamilyKeys keys;
  keys.distillation_token = "dist_token";
  keys.distillation_head = "head_dist";
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
  return keys;
}

// transformers' CLIPVisionModel.
FamilyKeys ClipKeys() {
  FamilyKeys keys = SiglipKeys();
  keys.class_token = "embeddings.class_embedding";
  keys.class_token_rank = 1;
  keys.pre_norm = "pre_layrnorm";  // as transformers spells it
  keys.norm = "";
  keys.pool_norm = "post_layernorm";
  keys.projection = "^visual_projection";
  keys.computing_stems = {};
  return keys;
}

// The vision tower in OpenAI's own CLIP files.
FamilyKeys ClipOpenAiKeys() {
  FamilyKeys keys;
  keys.patch_embed = "conv1";
  keys.class_token = "class_embedding";
  keys.class_token_rank = 1;
  keys.position = "positional_embedding";
  keys.pre_norm = "ln_pre";
  keys.pool_norm = "ln_post";
  keys.block = "transformer.resblocks.";
  keys.norm1 = "ln_1";
  keys.norm2 = "ln_2";
  keys.qkv = {"attn.in_proj"};
  keys.fused_in_proj = true;
  keys.proj = "attn.out_proj";
  keys.fc1 = "mlp.c_fc";
  keys.fc2 = "mlp.c_proj";
  keys.projection = "proj";
  keys.projection_transposed = true;
  return keys;
}

// transformers' ViT and DeiT, and the part of their names that DINOv2 shares.
FamilyKeys VitKeys() {
  FamilyKeys keys;
  keys.patch_embed = "embeddings.patch_embeddings.projection";
  keys.class_token = "embeddings.cls_token";
  keys.position = "embeddings.position_embeddings";
  keys.position_rank = 3;
  keys.norm = "layernorm";
  keys.block = "encoder.layer.";
  keys.norm1 = "layernorm_before";
  keys.norm2 = "layernorm_after";
  keys.qkv = {"attention.attention.query", "attention.attention.key", "attention.attention.value"};
  keys.proj = "attention.output.dense";
  keys.fc1 = "intermediate.dense";
  keys.fc2 = "output.dense";
  keys.pooler = "pooler.dense";
  keys.head = "^classifier";
  keys.computing_stems = {"embeddings.distillation_token", "embeddings.register_tokens"};
  return keys;
}

FamilyKeys DeitKeys(const EncoderConfig& config) {
  FamilyKeys keys = VitKeys();
  keys.distillation_token = "embeddings.distillation_token";
  keys.head = config.distilled_head ? "^cls_classifier" : "^classifier";
  keys.distillation_head = "^distillation_classifier";
  return keys;
}

FamilyKeys Dinov2Keys(const EncoderConfig& config) {
  FamilyKeys keys = VitKeys();
  keys.register_tokens = "embeddings.register_tokens";
  keys.norm1 = "norm1";
  keys.norm2 = "norm2";
  keys.fc1 = config.gated_mlp ? "mlp.weights_in" : "mlp.fc1";
  keys.fc2 = config.gated_mlp ? "mlp.weights_out" : "mlp.fc2";
  keys.scale1 = "layer_scale1.lambda1";
  keys.scale2 = "layer_scale2.lambda1";
  return keys;
}

// Meta's own DINOv2 files.
FamilyKeys Dinov2MetaKeys(const EncoderConfig& config) {
  FamilyKeys keys = TimmKeys();
  keys.register_tokens = "register_tokens";
  keys.qkv_bias_optional = false;
  keys.fc1 = config.gated_mlp ? "mlp.w12" : "mlp.fc1";
  keys.fc2 = config.gated_mlp ? "mlp.w3" : "mlp.fc2";
  keys.computing_stems = {"register_tokens"};
  return keys;
}

std::vector<ExpertKeys> MakeExpertKeys() {
  const auto modules = [](const char* spelling, std::vector<std::string> fc1, const char* fc2) {
    return ExpertKeys{.spelling = spelling, .fc1 = std::move(fc1), .fc2 = fc2};
  };
  // HF's fused parameters and vLLM's.
  const ExpertKeys fused{.spelling = "fused",
                         .stacked = true,
                         .fc1 = {"gate_up_proj"},
                         .fc2 = "down_proj",
                         .fc1_bias = "gate_up_proj_bias",
                         .fc2_bias = "down_proj_bias"};
  ExpertKeys transposed = fused;
  transposed.spelling = "fused, y = x W";
  transposed.transposed = true;
  return {modules("plain", {"fc1"}, "fc2"),
          modules("one each", {"gate_proj", "up_proj"}, "down_proj"),
          modules("w1, w3, w2", {"w1", "w3"}, "w2"),
          ExpertKeys{.spelling = "vLLM",
                     .stacked = true,
                     .fc1 = {"w13_weight"},
                     .fc2 = "w2_weight",
                     .fc1_bias = "w13_bias",
                     .fc2_bias = "w2_bias"},
          fused,
          transposed};
}

}  // namespace

FamilyKeys KeysOf(const EncoderConfig& config) {
  if (config.family == "siglip" || config.family == "siglip2") return SiglipKeys();
  if (config.family == "timm-vit") return TimmKeys();
  if (config.family == "internvit") return InternVitKeys();
  if (config.family == "internvl-vision") return InternVlVisionKeys();
  if (config.family == "clip") return ClipKeys();
  if (config.family == "clip-openai") return ClipOpenAiKeys();
  if (config.family == "vit") return VitKeys();
  if (config.family == "deit") return DeitKeys(config);
  if (config.family == "dinov2") return Dinov2Keys(config);
  W8A8_CHECK(config.family == "dinov2-meta");
  return Dinov2MetaKeys(config);
}

const std::vector<ExpertKeys>& AllExpertKeys() {
  static const std::vector<ExpertKeys> all = MakeExpertKeys();
  return all;
}

const ExpertKeys& ExpertKeysOf(const MixtureConfig& mixture) {
  const std::vector<ExpertKeys>& all = AllExpertKeys();
  const auto found = std::ranges::find(all, mixture.spelling, &ExpertKeys::spelling);
  W8A8_CHECK(found != all.end());
  return *found;
}

std::string OtherNamesOf(const std::string& family) {
  if (family == "clip") return "clip-openai";
  return family == "dinov2" ? "dinov2-meta" : "";
}

}  // namespace w8a8
