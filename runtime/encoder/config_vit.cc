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
  ReadMixture(fields, &config);
  return config;
}

// The pooler of the classes that have no classifier. Whether the checkpoint has one only its
// tensors tell.
void SetPooler(const JsonFields& fields, EncoderConfig* config) {
  const std::string activation = fields.Text("pooler_act", "tanh");
  if (activation != "tanh") {
    Fail("{}: 'pooler_act' is '{}'; only tanh is supported.", fields.file(), activation);
  }
  const int64_t stated = fields.Int("pooler_output_size", 0, 0, kMaxWidth);
  config->pooler = stated > 0 ? stated : config->width;
}

}  // namespace

EncoderConfig ReadVitConfig(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields);
  config.family = "vit";
  config.prefix_tokens = 1;
  if (HasArchitecture(fields, "ViTForImageClassification")) {
    SetClassifier(fields, HeadInput::kPooled, &config);
  } else {
    SetPooler(fields, &config);
  }
  return config;
}

EncoderConfig ReadDeitConfig(const JsonFields& fields) {
  EncoderConfig config = ReadCommon(fields);
  config.family = "deit";
  config.prefix_tokens = 2;
  config.distilled_head = HasArchitecture(fields, "DeiTForImageClassificationWithTeacher");
  if (config.distilled_head || HasArchitecture(fields, "DeiTForImageClassification")) {
    SetClassifier(fields, HeadInput::kPooled, &config);
  } else {
    SetPooler(fields, &config);
  }
  return config;
}

}  // namespace w8a8
