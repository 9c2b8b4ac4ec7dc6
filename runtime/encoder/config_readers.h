// One function per checkpoint family; ReadEncoderConfig dispatches.
#pragma once

#include "runtime/encoder/config.h"
#include "runtime/encoder/json_fields.h"

namespace w8a8 {

// `vision` holds the fields of SiglipVisionConfig. Absent fields take the class's defaults, because
// transformers 4 leaves out whatever equals them.
EncoderConfig ReadSiglipConfig(const JsonFields& vision);

// `vision` holds the fields of OpenGVLab's InternVisionConfig, whose defaults are those of the 6B
// encoder.
EncoderConfig ReadInternVitConfig(const JsonFields& vision);

// `vision` holds the fields of transformers' InternVLVisionConfig.
EncoderConfig ReadInternVlVisionConfig(const JsonFields& vision);

// config.json of a timm hub folder (`architecture`, `pretrained_cfg`, ...). Depth, widths and patch
// are read from the weights' shapes: the config does not state them.
EncoderConfig ReadTimmConfig(const JsonFields& config, const std::filesystem::path& folder);

// What most configs of transformers call by one name, with the defaults of one class.
struct TransformerDefaults {
  int64_t width, mlp_width, blocks, heads, image, patch;
  double norm_eps;
  const char* activation;
};
// hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_channels, image_size,
// patch_size, hidden_act and layer_norm_eps. The stored position table has the grid of image_size.
EncoderConfig ReadTransformerSizes(const JsonFields& fields, const TransformerDefaults& defaults);

// "layer_norm" or "rms_norm" under 'norm_type'.
NormKind NormFromName(const JsonFields& fields, const char* fallback);

// The function that an act-name of transformers stands for; throws Error for one we do not have.
ActivationKind ActivationFromName(const JsonFields& fields, const char* key,
                                  const std::string& fallback);

// Throws Error unless the compressed-tensors `quantization_config` of `config`, if there is one, is
// the int-quantized W8A8 that can be read: per-channel symmetric 8-bit weights with per-token
// dynamic or per-tensor static symmetric 8-bit inputs.
void CheckQuantizationConfig(const JsonFields& config);

}  // namespace w8a8
