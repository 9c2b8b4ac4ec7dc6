#include "runtime/encoder/config.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/base/utf8.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config_readers.h"
#include "runtime/encoder/expert_tensors.h"
#include "runtime/encoder/family_keys.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPatches = 1'000'000;
constexpr int64_t kMaxExpertsInAll = 65'536;

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
  if (config.tokens() <= config.unread_tokens) {
    Fail("{}: the model around the encoder reads none of its {} token(s).", file.string(),
         config.tokens());
  }
  const int64_t stored = config.blocks + config.unread_blocks;
  if (config.mixture.experts * stored > kMaxExpertsInAll) {
    Fail("{}: 'num_experts' is {} in {} blocks; at most {} experts in all are supported.",
         file.string(), config.mixture.experts, stored, kMaxExpertsInAll);
  }
  if (!(config.norm_eps > 0.0f) || !std::isfinite(config.norm_eps)) {
    Fail("{}: the norm's epsilon is {}; expected a small number above 0.", file.string(),
         config.norm_eps);
  }
}

// A folder vision_tower/ inside a VILA checkpoint, whose config says what is read of the tower. In
// a tower's export its own config says so.
void ApplyVila(const JsonFields& own, const fs::path& tower, EncoderConfig* config) {
  // A model of its own, whose reader has applied its fields.
  if (own.Has("vision_config") || IsCumo(own)) return;
  if (own.Has("mm_vision_select_layer")) return ApplyConsumer(own, {"vila"}, own, config);
  const fs::path whole = fs::weakly_canonical(tower);
  const fs::path file = whole.parent_path() / "config.json";
  if (whole.filename() != kTowerFolder || !fs::exists(file)) return;
  const nlohmann::json parsed = ReadJsonObject(file);
  ApplyConsumer(JsonFields(parsed, file, ""), {"vila"}, own, config);
}

// Two sets of names are in use for some families, beside one config.
void ChooseNames(const Checkpoint& checkpoint, const std::string& prefix, EncoderConfig* config) {
  const std::string other = OtherNamesOf(config->family);
  if (other.empty()) return;
  const auto holds_tower = [&](const std::string& family) {
    EncoderConfig named = *config;
    named.family = family;
    return checkpoint.HasTower(KeysOf(named).patch_embed + ".weight", prefix);
  };
  if (!holds_tower(config->family) && holds_tower(other)) config->family = other;
}

// transformers builds ViT and DeiT with a pooler or without; the config is the same.
void FindPooler(const Checkpoint& checkpoint, const std::string& prefix, EncoderConfig* config) {
  if (config->pooler == 0) return;
  const FamilyKeys keys = KeysOf(*config);
  const std::string tower = checkpoint.FindTower(keys.patch_embed + ".weight", prefix);
  for (const char* part : {".weight", ".weight_packed"}) {
    if (checkpoint.Find(tower + keys.pooler + part) != nullptr) return;
  }
  config->pooler = 0;
  config->notes.emplace_back(
      "the checkpoint has no pooler: the pooled output is the class token after the final norm");
}

}  // namespace

EncoderConfig ReadEncoderConfig(const fs::path& folder, const std::string& prefix) {
  RequireModelFolder(folder);
  const fs::path tower = TowerFolder(folder);
  const fs::path file = tower / "config.json";
  if (!fs::exists(file)) {
    Fail("{}: holds no config.json; give a Hugging Face or timm model folder.", folder.string());
  }
  const nlohmann::json parsed = ReadJsonObject(file);
  const JsonFields fields(parsed, file, "");
  EncoderConfig config = ReadFamily(fields, tower, prefix);
  ApplyVila(fields, tower, &config);
  if (config.name.empty()) {
    const fs::path whole = fs::weakly_canonical(folder);
    config.name = ValidUtf8(whole.filename().string());
  }
  const bool tensors_tell =
      !OtherNamesOf(config.family).empty() || config.pooler > 0 || config.mixture.experts > 0;
  if (HasWeights(tower) && tensors_tell) {
    const Checkpoint checkpoint(tower);
    ChooseNames(checkpoint, prefix, &config);
    FindPooler(checkpoint, prefix, &config);
    FindExperts(checkpoint, prefix, &config);
  }
  CheckSizes(file, config);
  return config;
}

void SetMaxPatches(int64_t patches, EncoderConfig* config) {
  W8A8_CHECK(config->variable_grid && patches >= 1);
  config->image_height = config->patch;
  config->image_width = config->patch * patches;
  config->notes.push_back(fmt::format(
      "images of any shape, at most {} patches each: position table of {}x{} resized to the grid "
      "of each (bilinear, antialiased)",
      patches, config->table_rows(), config->table_cols()));
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
