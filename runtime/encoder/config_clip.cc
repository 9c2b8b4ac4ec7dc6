// CLIP's vision encoder as transformers describes it, and as OpenAI's own files name its tensors.
#include "runtime/encoder/config_readers.h"

namespace w8a8 {

EncoderConfig ReadClipConfig(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 768,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 12,
                                                       .image = 224,
                                                       .patch = 32,
                                                       .norm_eps = 1e-5,
                                                       .activation = "quick_gelu"});
  config.family = "clip";
  config.prefix_tokens = 1;
  config.patch_bias = false;
  config.pre_norm = true;
  config.final_norm = false;
  config.pool = PoolKind::kFirstToken;
  config.pool_norm = true;  // post_layernorm sees the class token only
  ReadMixture(vision, &config);
  if (HasArchitecture(vision, "CLIPVisionModelWithProjection")) {
    SetProjection(vision.Int("projection_dim", 512, 1, kMaxWidth), &config);
  }
  return config;
}

}  // namespace w8a8
