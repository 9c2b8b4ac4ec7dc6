// Which reader a config.json goes to, by its model_type.
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

struct Refusal {
  std::string_view model_type;
  std::string_view sentence;
};
constexpr std::array<Refusal, 5> kRefusals = {{
    {"dinov3_vit",
     "DINOv3 has rotary positions in its attention, which are not supported; DINOv2 is"},
    {"qwen2_vl", "Qwen2-VL's vision encoder has rotary positions, which are not supported"},
    {"qwen2_5_vl",
     "Qwen2.5-VL's vision encoder has rotary positions and windows, which are not supported"},
    {"qwen3_vl", "Qwen3-VL's vision encoder has rotary positions, which are not supported"},
    {"sam_vision_model", "SAM's windowed attention is not supported"},
}};

// Who reads the fields of a vision encoder's own config, by its model_type.
struct Reader {
  std::string_view model_type;
  EncoderConfig (*read)(const JsonFields&);
};
constexpr std::array<Reader, 15> kReaders = {
    {{"siglip", ReadSiglipConfig},
     {"siglip_vision_model", ReadSiglipConfig},
     {"siglip2", ReadSiglip2Config},
     {"siglip2_vision_model", ReadSiglip2Config},
     {"intern_vit_6b", ReadInternVitConfig},
     {"internvl_vision", ReadInternVlVisionConfig},
     {"clip_vision_model", ReadClipConfig},
     {"vit", ReadVitConfig},
     {"deit", ReadDeitConfig},
     {"dinov2", ReadDinov2Config},
     {"dinov2_with_registers", ReadDinov2WithRegistersConfig},
     {"idefics3", ReadIdefics3Config},
     {"idefics3_vision", ReadIdefics3Config},
     {"smolvlm", ReadIdefics3Config},
     {"smolvlm_vision", ReadIdefics3Config}}};

// Models whose 'vision_config' need not state its type, or may be left out.
struct Whole {
  std::string_view model_type;
  std::string_view vision_type;
};
constexpr std::array<Whole, 5> kWholes = {{{"siglip", "siglip_vision_model"},
                                           {"siglip2", "siglip2_vision_model"},
                                           {"internvl_chat", "intern_vit_6b"},
                                           {"internvl", "internvl_vision"},
                                           {"clip", "clip_vision_model"}}};

[[noreturn]] void RefuseFamily(const std::string& file, const std::string& model_type) {
  for (const Refusal& refusal : kRefusals) {
    if (model_type == refusal.model_type) {
      Fail("{}: model_type '{}': {}.", file, model_type, refusal.sentence);
    }
  }
  Fail(
      "{}: model_type '{}' is not supported; SigLIP, SigLIP 2, InternViT, CLIP, ViT, "
      "DeiT, DINOv2 and timm folders of plain ViTs are.",
      file, model_type);
}

void RefuseExperts(const JsonFields& fields) {
  if (fields.Bool("use_moe", false)) {
    Fail("{}: 'use_moe' is true; mixtures of experts are not supported.", fields.file());
  }
}

std::string VisionTypeOf(const std::string& model_type) {
  for (const Whole& whole : kWholes) {
    if (model_type == whole.model_type) return std::string(whole.vision_type);
  }
  return "";
}

EncoderConfig ReadVision(const std::string& model_type, const JsonFields& fields) {
  for (const Reader& reader : kReaders) {
    if (model_type == reader.model_type) return reader.read(fields);
  }
  RefuseFamily(fields.file(), model_type);
}

}  // namespace

EncoderConfig ReadFamily(const JsonFields& config, const fs::path& folder) {
  RefuseExperts(config);
  if (config.Has("architecture")) return ReadTimmConfig(config, folder);
  const std::string type = config.Text("model_type", "");
  if (type.empty()) {
    Fail("{}: states neither 'model_type' (transformers) nor 'architecture' (timm).",
         config.file());
  }
  const std::optional<JsonFields> vision = config.Object("vision_config");
  const std::string default_type = VisionTypeOf(type);
  if (!vision && default_type.empty() && !IsVisionLanguageModel(type)) {
    return ReadVision(type, config);
  }
  if (!vision && IsVisionLanguageModel(type) && type != "internvl" && type != "internvl_chat") {
    Fail("{}: a '{}' checkpoint whose 'vision_config' is missing.", config.file(), type);
  }
  const nlohmann::json defaults = nlohmann::json::object();
  const JsonFields fields = vision.value_or(JsonFields(defaults, config.file(), "vision_config"));
  RefuseExperts(fields);
  const std::string vision_type = fields.Text("model_type", default_type);
  EncoderConfig encoder = ReadVision(vision_type.empty() ? type : vision_type, fields);
  if (type == "clip") {
    SetProjection(config.Int("projection_dim", 512, 1, kMaxWidth), &encoder);
  } else if (type != "siglip" && type != "siglip2") {
    encoder.notes.push_back(fmt::format("the {} tower of a '{}' checkpoint", encoder.family, type));
  }
  ApplyConsumer(config, type, &encoder);
  return encoder;
}

}  // namespace w8a8
