#include "eval/export/exported_scope.h"

#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

// The class that loads a tower alone, by the model_type of its config, and the prefix that it
// reads in every release since 4.57: where the class has dropped a prefix, it still takes it.
struct VisionClass {
  std::string_view family;  // of the encoder, where the config states no model_type
  std::string_view model_type;
  std::string_view name;
  std::string_view prefix;
};
constexpr std::array<VisionClass, 11> kVisionClasses = {
    {{"siglip", "siglip_vision_model", "SiglipVisionModel", "vision_model."},
     {"siglip2", "siglip2_vision_model", "Siglip2VisionModel", "vision_model."},
     {"clip", "clip_vision_model", "CLIPVisionModel", "vision_model."},
     {"internvit", "intern_vit_6b", "InternVisionModel", ""},
     {"internvl-vision", "internvl_vision", "InternVLVisionModel", ""},
     {"vit", "vit", "ViTModel", ""},
     {"deit", "deit", "DeiTModel", ""},
     {"dinov2", "dinov2", "Dinov2Model", ""},
     {"", "dinov2_with_registers", "Dinov2WithRegistersModel", ""},
     {"", "idefics3_vision", "Idefics3VisionTransformer", ""},
     {"", "smolvlm_vision", "SmolVLMVisionTransformer", ""}}};

std::string TypeOf(const ordered_json& config) {
  const auto found = config.find("model_type");
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

bool HasVisionConfig(const ordered_json& config) {
  const auto found = config.find("vision_config");
  return found != config.end() && found->is_object();
}

const VisionClass* VisionClassOf(const EncoderConfig& encoder, const ordered_json& whole) {
  std::string type = TypeOf(whole.at("vision_config"));
  const std::string around = TypeOf(whole);
  if (type == "idefics3" || (type.empty() && around == "idefics3")) type = "idefics3_vision";
  if (type == "smolvlm" || (type.empty() && around == "smolvlm")) type = "smolvlm_vision";
  for (const VisionClass& row : kVisionClasses) {
    if (type == row.model_type) return &row;
  }
  for (const VisionClass& row : kVisionClasses) {
    if (encoder.family == row.family) return &row;
  }
  return nullptr;
}

const VisionClass& RequireVisionClass(const EncoderConfig& encoder, const ordered_json& whole) {
  const VisionClass* found = VisionClassOf(encoder, whole);
  if (found == nullptr) {
    Fail("export: no class is known that loads the {} tower of a '{}' alone; export the whole.",
         encoder.family, TypeOf(whole));
  }
  return *found;
}

// Of a tower whose later blocks, final norm or class token the model around it does not read, its
// own config has to say so: to this tool, as VILA says it.
void KeepSelection(const EncoderConfig& encoder, ordered_json* config) {
  if (!encoder.pooled_unread || encoder.final_norm) return;
  (*config)["mm_vision_select_layer"] = encoder.blocks;
  (*config)["mm_vision_select_feature"] = encoder.unread_tokens > 0 ? "patch" : "cls_patch";
}

}  // namespace

ExportedKeys::ExportedKeys(ExportScope scope, const EncoderConfig& encoder,
                           const std::string& prefix, const ordered_json& config)
    : prefix_(prefix), written_prefix_(prefix) {
  if (scope == ExportScope::kTowerOnly && IsTowerOfCumo(config)) {
    Fail("export: no class is known that loads the tower of CuMo alone; export the whole.");
  }
  if (!HasVisionConfig(config)) return;
  nested_ = scope == ExportScope::kWhole && prefix_ == "vision_model.";
  if (scope == ExportScope::kWhole) return;
  tower_only_ = true;
  written_prefix_ = RequireVisionClass(encoder, config).prefix;
  if (encoder.projection == 0) return;
  constexpr const char* kTower = "vision_model.";
  W8A8_CHECK(prefix_.ends_with(kTower));
  written_beside_ = "visual_projection.";
  beside_ = prefix_.substr(0, prefix_.size() - std::string_view(kTower).size()) + written_beside_;
}

std::optional<std::string> ExportedKeys::NameOf(const std::string& key) const {
  if (!tower_only_) return key;
  if (key.starts_with(prefix_)) return written_prefix_ + key.substr(prefix_.size());
  if (!beside_.empty() && key.starts_with(beside_)) {
    return written_beside_ + key.substr(beside_.size());
  }
  return std::nullopt;
}

bool ExportedKeys::IsReadAlone(const std::string& key) const {
  if (tower_only_) return true;
  return nested_ && (key.starts_with(prefix_) || key.starts_with("visual_projection."));
}

std::vector<std::string> ExportedKeys::NamesOf(const std::vector<std::string>& keys) const {
  std::vector<std::string> names;
  for (const std::string& key : keys) names.push_back(NameOf(key).value());
  return names;
}

bool HasIdefics3Tower(const ordered_json& config) {
  std::string type = HasVisionConfig(config) ? TypeOf(config.at("vision_config")) : "";
  if (type.empty()) type = TypeOf(config);
  return type.starts_with("idefics3") || type.starts_with("smolvlm") || type == "aria";
}

bool IsTowerOfCumo(const ordered_json& config) { return config.contains("clip_smoe"); }

ordered_json TowerConfig(const EncoderConfig& encoder, const ordered_json& whole) {
  const VisionClass& vision_class = RequireVisionClass(encoder, whole);
  ordered_json config = whole.at("vision_config");
  config["model_type"] = vision_class.model_type;
  config["architectures"] = {encoder.projection > 0 ? "CLIPVisionModelWithProjection"
                                                    : std::string(vision_class.name)};
  if (encoder.projection > 0) config["projection_dim"] = encoder.projection;
  KeepSelection(encoder, &config);
  for (const char* kept : {"torch_dtype", "dtype", "transformers_version"}) {
    if (!config.contains(kept) && whole.contains(kept)) config[kept] = whole.at(kept);
  }
  return config;
}

}  // namespace w8a8
