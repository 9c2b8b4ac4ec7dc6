// Which reader a config.json goes to, by its model_type.
#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"
#include "runtime/encoder/vlm_table.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

struct Refusal {
  std::string_view model_type;
  std::string_view sentence;
};
constexpr std::string_view kDots =
    "the experts of its vision encoder are chosen by a sigmoid with a correction, behind rotary "
    "positions, which is not supported";
constexpr std::array<Refusal, 10> kRefusals = {{
    {"dinov3_vit",
     "DINOv3 has rotary positions in its attention, which are not supported; DINOv2 is"},
    {"qwen2_vl", "Qwen2-VL's vision encoder has rotary positions, which are not supported"},
    {"qwen2_5_vl",
     "Qwen2.5-VL's vision encoder has rotary positions and windows, which are not supported"},
    {"qwen3_vl", "Qwen3-VL's vision encoder has rotary positions, which are not supported"},
    {"sam_vision_model", "SAM's windowed attention is not supported"},
    {"granite4_vision",
     "it reads several layers of its tower (deepstack_layer_map, spatial_vision_layer), which is "
     "not supported"},
    {"dots3_note", kDots},
    {"dots3_note_omni", kDots},
    {"dots3_note_vision_encoder", kDots},
    {"minicpmv", "its positions follow the grid of each slice of an image, which is not supported"},
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

void RefuseKnown(const std::string& file, const std::string& model_type) {
  for (const Refusal& refusal : kRefusals) {
    if (model_type == refusal.model_type) {
      Fail("{}: model_type '{}': {}.", file, model_type, refusal.sentence);
    }
  }
}

[[noreturn]] void RefuseFamily(const std::string& file, const std::string& model_type) {
  RefuseKnown(file, model_type);
  Fail(
      "{}: model_type '{}' is not supported; SigLIP, SigLIP 2, InternViT, CLIP, ViT, "
      "DeiT, DINOv2 and timm folders of plain ViTs are.",
      file, model_type);
}

void RefuseExperts(const JsonFields& fields) {
  if (fields.Bool("use_moe", false)) {
    Fail(
        "{}: 'use_moe' is true; no public code says what InternVL's experts compute, so they are "
        "not supported.",
        fields.file());
  }
}

bool IsSupported(const std::string& model_type) {
  return std::ranges::any_of(kReaders,
                             [&](const Reader& reader) { return model_type == reader.model_type; });
}

// Where a config inside, at most three deep, is that of a supported tower: "encoder.vision_config".
std::string FindTowerIn(const nlohmann::json& config, int depth = 3) {
  for (const auto& [key, inner] : config.items()) {
    if (!inner.is_object() || depth == 0) continue;
    const nlohmann::json type = inner.value("model_type", nlohmann::json());
    if (type.is_string() && IsSupported(type.get<std::string>())) return key;
    if (const std::string below = FindTowerIn(inner, depth - 1); !below.empty()) {
      return key + "." + below;
    }
  }
  return "";
}

// A model that is not read, around a tower that is.
void RefuseAround(const JsonFields& config, const std::string& model_type) {
  if (IsSupported(model_type)) return;
  const std::string place = FindTowerIn(config.raw());
  if (place.empty()) return;
  Fail(
      "{}: model_type '{}' is not supported, but the tower in its '{}' is. Save the vision tower "
      "as a folder of its own (its save_pretrained) to measure it as an encoder.",
      config.file(), model_type, place);
}

EncoderConfig ReadVision(const std::string& model_type, const JsonFields& fields) {
  for (const Reader& reader : kReaders) {
    if (model_type == reader.model_type) return reader.read(fields);
  }
  RefuseFamily(fields.file(), model_type);
}

// CLIP's old form of 'vision_config'. With the class defaults for what it leaves out it replaces
// every field of 'vision_config' (CLIPConfig of transformers 4 and 5); other classes pass over it.
std::optional<JsonFields> VisionFields(const JsonFields& config, const std::string& type) {
  const auto old_form = type == "clip" ? config.Object("vision_config_dict") : std::nullopt;
  return old_form ? old_form : config.Object("vision_config");
}

std::string VisionType(const std::string& type, const VlmEntry* model, const JsonFields& vision) {
  if (model != nullptr && model->fixed_type) return model->vision_type;
  std::string stated = vision.Text("model_type", model == nullptr ? "" : model->vision_type);
  if (!stated.empty()) return stated;
  Fail("{}: the 'vision_config' of a '{}' checkpoint states no 'model_type'.", vision.file(), type);
}

// The model builds its tower as an encoder, whatever class the tower's config was once saved by.
nlohmann::json WithoutClass(const JsonFields& vision) {
  nlohmann::json bare = vision.raw();
  bare.erase("architectures");
  return bare;
}

EncoderConfig ReadTowerOf(const JsonFields& config, const std::string& type,
                          const JsonFields& stored, const std::string& prefix) {
  const nlohmann::json bare = WithoutClass(stored);
  const JsonFields vision(bare, stored.file(), stored.place());
  RefuseExperts(vision);
  const VlmEntry* model = FindVlm(type);
  EncoderConfig encoder = ReadVision(VisionType(type, model, vision), vision);
  ReadHeadOfWhole(config, type, &encoder);
  if (type != "clip" && type != "siglip" && type != "siglip2") {
    encoder.notes.push_back(fmt::format("the {} tower of a '{}' checkpoint", encoder.family, type));
  }
  ApplyConsumer(config, {.model_type = type, .prefix = prefix}, vision, &encoder);
  return encoder;
}

}  // namespace

EncoderConfig ReadFamily(const JsonFields& config, const fs::path& folder,
                         const std::string& prefix) {
  RefuseExperts(config);
  if (config.Has("architecture")) return ReadTimmConfig(config, folder, prefix);
  const std::string type = config.Text("model_type", "");
  if (type.empty()) {
    Fail("{}: states neither 'model_type' (transformers) nor 'architecture' (timm).",
         config.file());
  }
  RefuseKnown(config.file(), type);
  if (IsCumo(config)) return ReadCumoConfig(config, folder, prefix);
  const VlmEntry* model = FindVlm(type);
  if (const std::optional<JsonFields> vision = VisionFields(config, type)) {
    return ReadTowerOf(config, type, *vision, prefix);
  }
  if (model == nullptr) {
    RefuseAround(config, type);
    return ReadVision(type, config);
  }
  if (model->absent[0] == '\0') {
    Fail("{}: a '{}' checkpoint whose 'vision_config' is missing.", config.file(), type);
  }
  const auto defaults = nlohmann::json::parse(model->absent);
  return ReadTowerOf(config, type, JsonFields(defaults, config.file(), "vision_config"), prefix);
}

}  // namespace w8a8
