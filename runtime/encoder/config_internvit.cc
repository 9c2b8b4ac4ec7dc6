// InternViT as OpenGVLab stores it and as transformers does: one computation, two sets of names.
#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// What both classes compute, whatever their fields say.
void SetCommon(EncoderConfig* config) {
  config->prefix_tokens = 1;
  config->position_resize = PositionResize::kBicubic;
  config->layer_scale = true;
}

}  // namespace

EncoderConfig ReadInternVitConfig(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 3200,
                                                       .mlp_width = 12800,
                                                       .blocks = 48,
                                                       .heads = 25,
                                                       .image = 224,
                                                       .patch = 14,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu"});
  SetCommon(&config);
  config.family = "internvit";
  config.norm = NormFromName(vision, "rms_norm");
  config.qkv_bias = vision.Bool("qkv_bias", false);
  config.qk_norm = vision.Bool("qk_normalization", true);
  config.qk_norm_eps = config.norm_eps;
  config.final_norm = false;
  config.pool = PoolKind::kFirstToken;
  return config;
}

EncoderConfig ReadInternVlVisionConfig(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 1024,
                                                       .mlp_width = 4096,
                                                       .blocks = 24,
                                                       .heads = 16,
                                                       .image = 448,
                                                       .patch = 14,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu"});
  SetCommon(&config);
  config.family = "internvl-vision";
  config.norm = NormFromName(vision, "layer_norm");
  config.qkv_bias = vision.Bool("attention_bias", false);
  config.qk_norm = vision.Bool("use_qk_norm", false);
  // With mean pooling the class leaves out its final norm, and means no tokens either.
  config.final_norm = !vision.Bool("use_mean_pooling", true);
  if (config.final_norm && config.norm == NormKind::kRmsNorm) {
    Fail(
        "{}: 'use_mean_pooling' is false, which asks for a final LayerNorm behind blocks of "
        "'norm_type' rms_norm; this mixture is not supported.",
        vision.file());
  }
  if (!vision.Bool("use_absolute_position_embeddings", true)) {
    Fail(
        "{}: 'use_absolute_position_embeddings' is false; encoders without a position table are "
        "not supported.",
        vision.file());
  }
  return config;
}

}  // namespace w8a8
