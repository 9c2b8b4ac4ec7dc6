// transformers' ViT and DeiT.
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

EncoderConfig ReadCommon(const JsonFields& fields) {
  EncoderConfig config = ReadTransformerSizes(fields, {.width = 768,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 12,
                                                       .image = 224,
                                                       .patch = 16,
                                                       .norm_eps = 1e-12,
                                                       .activation = "gelu"});
  config.qkv_bias = fields.Bool("qkv_bias", true);
  config.pool = PoolKind::kFirstToken;
  return config;
}

// The classes that transformers' PreTrainedConfig knows: two unless it says otherwise.
int64_t ReadClasses(const JsonFields& fields) {
  const std::optional<JsonFields> names = fields.Object("id2label");
  const int64_t named = names ? static_cast<int64_t>(names->raw().size()) : 2;
  return fields.Int("num_labels", named, 1, 10'000'000);
}

void NotePooler(EncoderConfig* config) {
  config->notes.emplace_back(
      "the pooled output is the class token after the final norm; a 'pooler' is not run");
}

}  // namespace

EncoderConfig ReadVitConfig(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields);
  config.family = "vit";
  config.prefix_tokens = 1;
  if (HasArchitecture(fields, "ViTForImageClassification")) {
    config.classes = ReadClasses(fields);
  } else {
    NotePooler(&config);
  }
  return config;
}

EncoderConfig ReadDeitConfig(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields);
  config.family = "deit";
  config.prefix_tokens = 2;
  config.distilled_head = HasArchitecture(fields, "DeiTForImageClassificationWithTeacher");
  if (config.distilled_head || HasArchitecture(fields, "DeiTForImageClassification")) {
    config.classes = ReadClasses(fields);
  } else {
    NotePooler(&config);
  }
  return config;
}

}  // namespace w8a8
