// SiglipVisionConfig of transformers: fields and class defaults.
#include "runtime/encoder/config_readers.h"

namespace w8a8 {

EncoderConfig ReadSiglipConfig(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 768,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 12,
                                                       .image = 224,
                                                       .patch = 16,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu_pytorch_tanh"});
  config.family = "siglip";
  config.pool = vision.Bool("vision_use_head", true) ? PoolKind::kAttentionProbe : PoolKind::kNone;
  ReadMixture(vision, &config);
  return config;
}

}  // namespace w8a8
