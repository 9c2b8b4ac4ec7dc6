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

struct Refusal {
  std::string_view model_type;
  std::string_view sentence;
};
constexpr std::array<Refusal, 15> kRefusals = {{
    {"siglip2",
     "SigLIP 2 NaFlex takes images of any shape; fixed-resolution SigLIP 2 checkpoints "
     "(model_type 'siglip') are supported"},
    {"siglip2_vision_model",
     "SigLIP 2 NaFlex takes images of any shape; fixed-resolution SigLIP 2 "
     "checkpoints (model_type 'siglip') are supported"},
    {"intern_vit_6b", "InternViT is not supported yet"},
    {"internvl_chat", "InternViT is not supported yet"},
    {"internvl", "InternViT is not supported yet"},
    {"internvl_vision", "InternViT is not supported yet"},
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

[[noreturn]] void RefuseFamily(const fs::path& file, const std::string& model_type) {
  for (const Refusal& refusal : kRefusals) {
    if (model_type == refusal.model_type) {
      Fail("{}: model_type '{}': {}.", file.string(), model_type, refusal.sentence);
    }
  }
  Fail(
      "{}: model_type '{}' is not supported; SigLIP and fixed-resolution SigLIP 2 (model_type "
      "'siglip', 'siglip_vision_model') and timm folders of plain ViTs are.",
      file.string(), model_type);
}

void RefuseExperts(const JsonFields& fields) {
  if (fields.Bool("use_moe", false)) {
    Fail("{}: 'use_moe' is true; mixtures of experts are not supported.", fields.file().string());
  }
}

EncoderConfig ReadFamily(const JsonFields& config, const fs::path& folder) {
  RefuseExperts(config);
  if (config.Has("architecture")) return ReadTimmConfig(config, folder);
  const std::string type = config.Text("model_type", "");
  if (type.empty()) {
    Fail("{}: states neither 'model_type' (transformers) nor 'architecture' (timm).",
         config.file().string());
  }
  if (type == "siglip_vision_model") return ReadSiglipConfig(config);
  const std::optional<JsonFields> vision = config.Object("vision_config");
  if (!vision) {
    if (type != "siglip") RefuseFamily(config.file(), type);
    const nlohmann::json defaults = nlohmann::json::object();
    return ReadSiglipConfig(JsonFields(defaults, config.file(), "vision_config."));
  }
  RefuseExperts(*vision);
  const std::string vision_type = vision->Text("model_type", type == "siglip" ? "siglip" : "");
  if (vision_type == "siglip" || vision_type == "siglip_vision_model") {
    EncoderConfig encoder = ReadSiglipConfig(*vision);
    if (type != "siglip") {
      encoder.notes.push_back(fmt::format("the SigLIP tower of a '{}' checkpoint", type));
    }
    return encoder;
  }
  RefuseFamily(config.file(), vision_type.empty() ? type : vision_type);
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
  if (config.patches() < 1 || config.patches() > 1'000'000) {
    Fail("{}: an image of {} x {} with patches of {} gives {} patches; expected 1 to 1000000.",
         file.string(), config.image_height, config.image_width, config.patch, config.patches());
  }
  if (!(config.norm_eps > 0.0f) || !std::isfinite(config.norm_eps)) {
    Fail("{}: the norm's epsilon is {}; expected a small number above 0.", file.string(),
         config.norm_eps);
  }
}

}  // namespace

ActivationKind ActivationFromName(const JsonFields& fields, const char* key,
                                  const std::string& fallback) {
  const std::string name = fields.Text(key, fallback);
  if (name == "gelu") return ActivationKind::kGeluErf;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return ActivationKind::kGeluTanh;
  if (name == "quick_gelu") return ActivationKind::kQuickGelu;
  if (name == "silu" || name == "swish") return ActivationKind::kSilu;
  Fail("{}: '{}' is '{}'; supported are gelu, gelu_pytorch_tanh, gelu_new, quick_gelu and silu.",
       fields.file().string(), key, name);
}

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

}  // namespace w8a8
