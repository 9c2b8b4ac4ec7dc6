// One function per checkpoint family, and the one that dispatches.
#pragma once

#include "runtime/base/json_fields.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Reads what config.json of `folder` describes, by its 'model_type' or timm's 'architecture'.
// `prefix` chooses the tower where timm's weights hold several. Throws Error, with the reason where
// one is known, for a family that is not supported.
EncoderConfig ReadFamily(const JsonFields& config, const std::filesystem::path& folder,
                         const std::string& prefix);

// The model around a tower, and which of its towers is meant.
struct Consumer {
  std::string model_type;   // of the whole config, or "vila"
  std::string prefix = {};  // of the tower, where one was chosen
};

// Cuts a tower down to what the model around it reads: its blocks, whether the final norm is run,
// which tokens; no pooled output. Says so in a note. A model that vlm_table.h does not know is
// taken at the word of the fields that are known in any model, and else to read the tokens behind
// the final norm. Throws Error naming the field for several layers, layers that the tower (of the
// config `vision`) does not have, and fields whose meaning is unknown.
void ApplyConsumer(const JsonFields& whole, const Consumer& consumer, const JsonFields& vision,
                   EncoderConfig* config);

// `vision` holds the fields of Idefics3VisionConfig or SmolVLMVisionConfig.
EncoderConfig ReadIdefics3Config(const JsonFields& vision);

// `vision` holds the fields of SiglipVisionConfig. Absent fields take the class's defaults, because
// transformers 4 leaves out whatever equals them.
EncoderConfig ReadSiglipConfig(const JsonFields& vision);

// `vision` holds the fields of OpenGVLab's InternVisionConfig, whose defaults are those of the 6B
// encoder.
EncoderConfig ReadInternVitConfig(const JsonFields& vision);

// `vision` holds the fields of transformers' InternVLVisionConfig.
EncoderConfig ReadInternVlVisionConfig(const JsonFields& vision);

// `vision` holds the fields of CLIPVisionConfig.
EncoderConfig ReadClipConfig(const JsonFields& vision);

// ViTConfig and DeiTConfig. The classifier is run where 'architectures' names a class that has it.
EncoderConfig ReadVitConfig(const JsonFields& fields);
EncoderConfig ReadDeitConfig(const JsonFields& fields);

// Dinov2Config and Dinov2WithRegistersConfig.
EncoderConfig ReadDinov2Config(const JsonFields& fields);
EncoderConfig ReadDinov2WithRegistersConfig(const JsonFields& fields);

// SigLIP 2 NaFlex; fixed-resolution SigLIP 2 has SigLIP's own config.
EncoderConfig ReadSiglip2Config(const JsonFields& vision);

// config.json of a timm hub folder (`architecture`, `pretrained_cfg`, ...). Depth, widths and patch
// are read from the weights' shapes: the config does not state them.
EncoderConfig ReadTimmConfig(const JsonFields& config, const std::filesystem::path& folder,
                             const std::string& prefix);

// Whether this is the config.json of a CuMo checkpoint: LLaVA's for Mistral or Mixtral, with the
// key 'clip_smoe'.
bool IsCumo(const JsonFields& config);
// CuMo's CLIP tower, with experts in every block or dense. Its sizes stand in a 'vision_config', or
// else are those of OpenAI's CLIP that the tensors of `folder` show. What enters the last block is
// what the model reads: that block is stored and not run.
EncoderConfig ReadCumoConfig(const JsonFields& config, const std::filesystem::path& folder,
                             const std::string& prefix);

// The experts that Qwen's fields give the blocks of a vision encoder (moe.md section 3); where
// there are none, nothing. `config` has its blocks and MLP width. Throws Error naming the field for
// values that do not fit, and for routers and shared experts of other kinds.
void ReadMixture(const JsonFields& vision, EncoderConfig* config);

// What the class that 'architectures' names puts on top of the tower of a whole model of
// `model_type`: the classifier of {CLIP, SigLIP, SigLIP 2}ForImageClassification, or else CLIP's
// projection.
void ReadHeadOfWhole(const JsonFields& whole, const std::string& model_type, EncoderConfig* config);

// Adds the image embedding, the projected class token.
void SetProjection(int64_t projection, EncoderConfig* config);

// Adds the classifier that transformers' configs describe by 'id2label' or 'num_labels', reading
// `input`. Without classes transformers gives the head's input as logits; here there are none then,
// and a note says so.
void SetClassifier(const JsonFields& fields, HeadInput input, EncoderConfig* config);

// Bounds that no vision encoder comes near and that keep every product of sizes inside 64 bits.
constexpr int64_t kMaxWidth = 65'536;
constexpr int64_t kMaxBlocks = 1'000;
constexpr int64_t kMaxImageSide = 16'384;
constexpr int64_t kMaxExperts = 1'024;

// Whether 'architectures' names transformers' class `name`.
bool HasArchitecture(const JsonFields& fields, const char* name);

// A tensor whose shape says what the config does not, and the outputs of a linear layer, which may
// be stored as packed codes. `of`: "a plain ViT of timm", for the Error where it is missing.
const TensorView& ShapedTensor(const Checkpoint& checkpoint, const std::string& key, size_t rank,
                               const char* of);
int64_t OutputsOfLayer(const Checkpoint& checkpoint, const std::string& stem, const char* of);

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

}  // namespace w8a8
