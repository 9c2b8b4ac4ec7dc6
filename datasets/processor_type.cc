#include "datasets/processor_type.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

struct ModelsOf {
  std::string_view processor;
  std::string_view model_types;  // one blank around each
};
// transformers 5.24, models/auto/image_processing_auto.py, of the processors that are supported. It
// has no entry for the configs of towers alone, which come last in a row.
constexpr std::array<ModelsOf, 13> kModels = {
    {{"SiglipImageProcessor", " siglip colpali gemma3n paligemma siglip_vision_model "},
     {"Siglip2ImageProcessor", " siglip2 siglip2_vision_model "},
     {"CLIPImageProcessor",
      " clip aimv2 aimv2_vision_model altclip florence2 git groupvit kosmos-2 metaclip_2 mlcd "
      "vipllava xclip clip_vision_model metaclip_2_vision_model mlcd_vision_model "},
     {"ViTImageProcessor",
      " vit clipseg dinat ijepa mgp-str swiftformer swin swinv2 trocr vit_mae vit_msn "},
     {"DeiTImageProcessor", " deit "},
     {"BitImageProcessor", " bit dinov2 focalnet hiera pixio dinov2_with_registers "},
     {"Gemma3ImageProcessor", " gemma3 shieldgemma2 t5gemma2 t5gemma2_encoder "},
     {"GotOcr2ImageProcessor", " got_ocr2 aya_vision internvl qianfan_ocr "},
     {"Idefics3ImageProcessor", " idefics3 "},
     {"SmolVLMImageProcessor", " smolvlm "},
     {"LlavaImageProcessor", " llava "},
     {"LlavaNextImageProcessor", " llava_next granite4_vision llava_next_video "},
     {"LlavaOnevisionImageProcessor", " llava_onevision "}}};

std::string ModelType(const std::optional<JsonFields>& model) {
  return model ? model->Text("model_type", "") : "";
}

// The name without what it says about the library that does the work.
std::string PlainName(std::string name) {
  for (const std::string_view suffix : {"Fast", "Pil"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  constexpr std::string_view kOld = "FeatureExtractor";
  if (name.ends_with(kOld)) name.replace(name.size() - kOld.size(), kOld.size(), "ImageProcessor");
  return name;
}

std::string OfModelType(const std::string& model_type) {
  for (const ModelsOf& row : kModels) {
    const bool listed = row.model_types.find(" " + model_type + " ") != std::string_view::npos;
    if (!model_type.empty() && listed) return std::string(row.processor);
  }
  return "";
}

[[noreturn]] void RefuseUntyped(const JsonFields& fields, const std::string& model_type) {
  const std::string why =
      model_type.empty()
          ? "no config.json beside it states a 'model_type'"
          : fmt::format("the model_type '{}' of config.json stands for none that is supported",
                        model_type);
  Fail(
      "{}: neither 'image_processor_type' nor 'feature_extractor_type' names the processor, and "
      "{}. "
      "Add the class that the model was trained with: \"image_processor_type\": "
      "\"ViTImageProcessor\", for example.",
      fields.file(), why);
}

bool IsInternVl(const JsonFields& fields, const std::optional<JsonFields>& around,
                const std::string& model_type) {
  std::optional<JsonFields> processor_class = fields.Find("processor_class");
  if (!processor_class && around) processor_class = around->Find("processor_class");
  return processor_class ? processor_class->raw() == "InternVLProcessor" : model_type == "internvl";
}

}  // namespace

ProcessorType ProcessorTypeOf(const JsonFields& fields, const std::optional<JsonFields>& around,
                              const std::optional<JsonFields>& model) {
  const std::string model_type = ModelType(model);
  ProcessorType type;
  type.internvl = IsInternVl(fields, around, model_type);
  type.name = fields.Text("image_processor_type", fields.Text("feature_extractor_type", ""));
  if (type.name.empty() && model) {
    type.name = model->Text("image_processor_type", "");
    type.inferred_from = "config.json";
  }
  if (type.name.empty()) {
    type.name = OfModelType(model_type);
    type.inferred_from = fmt::format("model_type '{}'", model_type);
  }
  if (type.name.empty()) RefuseUntyped(fields, model_type);
  type.name = PlainName(type.name);
  return type;
}

}  // namespace w8a8
