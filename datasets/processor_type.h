// Which image processor of transformers a config file means.
#pragma once

#include <optional>
#include <string>

#include "runtime/base/json_fields.h"

namespace w8a8 {

struct ProcessorType {
  std::string name;           // "ViTImageProcessor", also for ViTImageProcessorFast, ...Pil and
                              // ViTFeatureExtractor
  std::string inferred_from;  // "model_type 'vit'"; "" where the processor's own file says it
  // InternVLProcessor asks for tiles itself, whatever its image processor's config says.
  bool internvl = false;
};

// Of the processor config `fields`; as transformers 5's AutoImageProcessor: its own
// 'image_processor_type' or 'feature_extractor_type', else that of the model's config.json, else
// the one that the model_type stands for. `around` is the processor_config.json that `fields`
// stands in, if it does. Throws Error with the way out where nothing says it.
ProcessorType ProcessorTypeOf(const JsonFields& fields, const std::optional<JsonFields>& around,
                              const std::optional<JsonFields>& model);

}  // namespace w8a8
