// One function per checkpoint family; ReadEncoderConfig dispatches.
#pragma once

#include "runtime/encoder/config.h"
#include "runtime/encoder/json_fields.h"

namespace w8a8 {

// `vision` holds the fields of SiglipVisionConfig. Absent fields take the class's defaults, because
// transformers 4 leaves out whatever equals them.
EncoderConfig ReadSiglipConfig(const JsonFields& vision);

// config.json of a timm hub folder (`architecture`, `pretrained_cfg`, ...). Depth, widths and patch
// are read from the weights' shapes: the config does not state them.
EncoderConfig ReadTimmConfig(const JsonFields& config, const std::filesystem::path& folder);

// The function that an act-name of transformers stands for; throws Error for one we do not have.
ActivationKind ActivationFromName(const JsonFields& fields, const char* key,
                                  const std::string& fallback);

// Throws Error unless the compressed-tensors `quantization_config` of `config`, if there is one, is
// the int-quantized W8A8 that can be read: per-channel symmetric 8-bit weights with per-token
// dynamic or per-tensor static symmetric 8-bit inputs.
void CheckQuantizationConfig(const JsonFields& config);

}  // namespace w8a8
