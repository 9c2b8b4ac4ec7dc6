// transformers' DINOv2, with and without registers; Meta's own files hold the same computation.
#include <cmath>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

constexpr int64_t kMaxRegisters = 1'000;

// The MLP is mlp_ratio times the width; SwiGLU keeps two thirds of that, up to a multiple of 8.
void SetMlp(const JsonFields& fields, EncoderConfig* config) {
  const double ratio = fields.Number("mlp_ratio", 4);
  const double wide = ratio * static_cast<double>(config->width);
  if (!(wide >= 1.0 && wide <= kMaxWidth)) {
    Fail("{}: 'mlp_ratio' is {}; times the width {} it must give 1 to {}.", fields.file(), ratio,
         config->width, kMaxWidth);
  }
  config->mlp_width = static_cast<int64_t>(wide);
  if (!fields.Bool("use_swiglu_ffn", false)) return;
  config->gated_mlp = true;
  config->activation = ActivationKind::kSilu;
  config->mlp_width = (config->mlp_width * 2 / 3 + 7) / 8 * 8;
}

EncoderConfig ReadCommon(const JsonFields& fields, int64_t default_patch) {
  EncoderConfig config = ReadTransformerSizes(fields, {.width = 768,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 12,
                                                       .image = 224,
                                                       .patch = default_patch,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu"});
  SetMlp(fields, &config);
  ReadMixture(fields, &config);
  config.family = "dinov2";
  config.qkv_bias = fields.Bool("qkv_bias", true);
  config.layer_scale = true;
  config.pool = PoolKind::kFirstToken;
  if (HasArchitecture(fields, "Dinov2ForImageClassification") ||
      HasArchitecture(fields, "Dinov2WithRegistersForImageClassification")) {
    SetClassifier(fields, HeadInput::kPooledAndMean, &config);
  }
  return config;
}

}  // namespace

EncoderConfig ReadDinov2Config(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields, 14);
  config.prefix_tokens = 1;
  config.position_resize = PositionResize::kBicubic;
  return config;
}

EncoderConfig ReadDinov2WithRegistersConfig(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields, 16);
  config.registers = fields.Int("num_register_tokens", 4, 0, kMaxRegisters);
  config.prefix_tokens = 1 + config.registers;
  config.position_resize = PositionResize::kBicubicAntialias;
  return config;
}

}  // namespace w8a8
