#include "runtime/encoder/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPatches = 1'000'000;

struct Refusal {
  std::string_view model_type;
  std::string_view sentence;
};
constexpr std::array<Refusal, 11> kRefusals = {{
    {"siglip2",
     "SigLIP 2 NaFlex takes images of any shape; fixed-resolution SigLIP 2 checkpoints "
     "(model_type 'siglip') are supported"},
    {"siglip2_vision_model",
     "SigLIP 2 NaFlex takes images of any shape; fixed-resolution SigLIP 2 "
     "checkpoints (model_type 'siglip') are supported"},
    {"clip", "CLIP is not supported yet"},
    {"clip_vision_model", "CLIP is not supported yet"},
    {"dinov2", "DINOv2 is not supported yet"},
    {"dinov2_with_registers", "DINOv2 with registers is not supported yet"},
    {"dinov3_vit", "DINOv3 needs rotary positions, which are not supported"},
    {"vit", "transformers' ViT layout is not supported; take the timm folder of the same model"},
    {"deit", "transformers' DeiT layout is not supported; take the timm folder of the same model"},
    {"idefics3_vision", "Idefics3's position buckets are not supported"},
    {"sam_vision_model", "SAM's windowed attention is not supported"},
}};

// Who reads the fields of a vision encoder's own config, by its model_type.
struct Reader {
  std::string_view model_type;
  EncoderConfig (*read)(const JsonFields&);
};
constexpr std::array<Reader, 4> kReaders = {{{"siglip", ReadSiglipConfig},
                                             {"siglip_vision_model", ReadSiglipConfig},
                                             {"intern_vit_6b", ReadInternVitConfig},
                                             {"internvl_vision", ReadInternVlVisionConfig}}};

// Models whose 'vision_config' need not state its type, or may be left out.
struct Whole {
  std::string_view model_type;
  std::string_view vision_type;
};
constexpr std::array<Whole, 3> kWholes = {{{"siglip", "siglip_vision_model"},
                                           {"internvl_chat", "intern_vit_6b"},
                                           {"internvl", "internvl_vision"}}};

[[noreturn]] void RefuseFamily(const fs::path& file, const std::string& model_type) {
  for (const Refusal& refusal : kRefusals) {
    if (model_type == refusal.model_type) {
      Fail("{}: model_type '{}': {}.", file.string(), model_type, refusal.sentence);
    }
  }
  Fail(
      "{}: model_type '{}' is not supported; SigLIP, fixed-resolution SigLIP 2, InternViT and timm "
      "folders of plain ViTs are.",
      file.string(), model_type);
}

void RefuseExperts(const JsonFields& fields) {
  if (fields.Bool("use_moe", false)) {
    Fail("{}: 'use_moe' is true; mixtures of experts are not supported.", fields.file().string());
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

EncoderConfig ReadFamily(const JsonFields& config, const fs::path& folder) {
  RefuseExperts(config);
  if (config.Has("architecture")) return ReadTimmConfig(config, folder);
  const std::string type = config.Text("model_type", "");
  if (type.empty()) {
    Fail("{}: states neither 'model_type' (transformers) nor 'architecture' (timm).",
         config.file().string());
  }
  const std::optional<JsonFields> vision = config.Object("vision_config");
  const std::string default_type = VisionTypeOf(type);
  if (!vision && default_type.empty()) return ReadVision(type, config);
  const nlohmann::json defaults = nlohmann::json::object();
  const JsonFields fields = vision.value_or(JsonFields(defaults, config.file(), "vision_config."));
  RefuseExperts(fields);
  const std::string vision_type = fields.Text("model_type", default_type);
  EncoderConfig encoder = ReadVision(vision_type.empty() ? type : vision_type, fields);
  if (type != "siglip") {
    encoder.notes.push_back(fmt::format("the {} tower of a '{}' checkpoint", encoder.family, type));
  }
  return encoder;
}

void CheckSizes(const fs::path& file, const EncoderConfig& config) {
  // A timm folder's sizes are shapes of tensors, which may be empty.
  if (std::min({config.width, config.mlp_width, config.blocks, config.channels, config.patch}) <
      1) {
    Fail("{}: width {}, MLP width {}, {} blocks, {} channels, patches of {}; none may be 0.",
         file.string(), config.width, config.mlp_width, config.blocks, config.channels,
         config.patch);
  }
  if (config.width % config.heads != 0) {
    Fail("{}: {} attention heads do not divide the width {}.", file.string(), config.heads,
         config.width);
  }
  if (config.patches() < 1 || config.patches() > kMaxPatches) {
    Fail("{}: an image of {} x {} with patches of {} gives {} patches; expected 1 to {}.",
         file.string(), config.image_height, config.image_width, config.patch, config.patches(),
         kMaxPatches);
  }
  if (!(config.norm_eps > 0.0f) || !std::isfinite(config.norm_eps)) {
    Fail("{}: the norm's epsilon is {}; expected a small number above 0.", file.string(),
         config.norm_eps);
  }
}

}  // namespace

EncoderConfig ReadEncoderConfig(const fs::path& folder) {
  RequireModelFolder(folder);
  const fs::path file = folder / "config.json";
  if (!fs::exists(file)) {
    Fail("{}: holds no config.json; give a Hugging Face or timm model folder.", folder.string());
  }
  const nlohmann::json parsed = ReadJsonObject(file);
  const JsonFields fields(parsed, file, "");
  CheckQuantizationConfig(fields);
  EncoderConfig config = ReadFamily(fields, folder);
  if (config.name.empty()) {
    const fs::path whole = fs::weakly_canonical(folder);
    config.name = whole.filename().string();
  }
  CheckSizes(file, config);
  return config;
}

void SetImageSize(int64_t height, int64_t width, EncoderConfig* config) {
  if (height == config->image_height && width == config->image_width) return;
  const int64_t rows = config->table_rows();
  const int64_t cols = config->table_cols();
  if (config->position_resize == PositionResize::kNone) {
    Fail(
        "{}: the encoder takes images of {}x{} (height x width), not {}x{}: its family does not "
        "resize its position table. Mend the preprocessing config.",
        config->name, config->image_height, config->image_width, height, width);
  }
  config->image_height = height;
  config->image_width = width;
  config->position_rows = rows;
  config->position_cols = cols;
  if (config->patches() < 1 || config->patches() > kMaxPatches) {
    Fail("{}: an image of {} x {} with patches of {} gives {} patches; expected 1 to {}.",
         config->name, height, width, config->patch, config->patches(), kMaxPatches);
  }
  if (config->grid_rows() == rows && config->grid_cols() == cols) return;
  config->notes.push_back(fmt::format(
      "images of {}x{}: position table resized from {}x{} to {}x{} (bicubic{})", height, width,
      rows, cols, config->grid_rows(), config->grid_cols(),
      config->position_resize == PositionResize::kBicubicAntialias ? ", antialiased" : ""));
}

}  // namespace w8a8
