// timm hub folders of plain ViTs: config.json plus the shapes of the weights.
#include <algorithm>
#include <array>
#include <regex>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

struct NamedSize {
  std::string_view size;
  int64_t heads;
};
// Heads by the size word of the architecture's name (timm/models/vision_transformer.py). The three
// large ones are not 64 wide per head, so their shapes alone would mislead.
constexpr std::array<NamedSize, 9> kHeadsBySize = {{{"tiny", 3},
                                                    {"little", 5},
                                                    {"small", 6},
                                                    {"medium", 8},
                                                    {"base", 12},
                                                    {"large", 16},
                                                    {"huge", 16},
                                                    {"giant", 16},
                                                    {"gigantic", 16}}};

// Groups: size word, patch, image side. Whatever else a name carries (clip, siglip, reg4, dinov2,
// rope, distilled, ...) stands for another computation.
const std::regex& PlainVitName() {
  static const std::regex pattern("(?:vit|deit)_([a-z0-9]+)_patch([0-9]+)_([0-9]+)(?:_in21k)?");
  return pattern;
}

const TensorView& Need(const Checkpoint& checkpoint, const std::string& key, size_t rank) {
  const TensorView* tensor = checkpoint.Find(key);
  if (tensor == nullptr) {
    Fail("{}: tensor '{}' is missing; this is not a plain ViT of timm.",
         checkpoint.folder().string(), key);
  }
  if (tensor->shape.size() != rank) {
    Fail("{}: tensor '{}' has shape {}; expected {} dimensions.", checkpoint.folder().string(), key,
         tensor->ShapeText(), rank);
  }
  return *tensor;
}

void ReadShapes(const Checkpoint& checkpoint, EncoderConfig& config) {
  const std::string prefix = checkpoint.FindTower("patch_embed.proj.weight", "");
  const TensorView& patch = Need(checkpoint, prefix + "patch_embed.proj.weight", 4);
  if (patch.shape[2] != patch.shape[3]) {
    Fail("{}: '{}' has shape {}; patches must be square.", checkpoint.folder().string(), patch.name,
         patch.ShapeText());
  }
  config.width = patch.shape[0];
  config.channels = patch.shape[1];
  config.patch = patch.shape[2];
  config.mlp_width = Need(checkpoint, prefix + "blocks.0.mlp.fc1.weight", 2).shape[0];
  config.class_token = checkpoint.Find(prefix + "cls_token") != nullptr;
  config.pre_norm = checkpoint.Find(prefix + "norm_pre.weight") != nullptr;
  config.layer_scale = checkpoint.Find(prefix + "blocks.0.ls1.gamma") != nullptr;
  while (checkpoint.Find(fmt::format("{}blocks.{}.norm1.weight", prefix, config.blocks))) {
    ++config.blocks;
  }
}

// input_size is [channels, height, width].
void ReadImageSize(const JsonFields& config, const std::string& architecture,
                   EncoderConfig& encoder) {
  const std::optional<JsonFields> pretrained = config.Object("pretrained_cfg");
  const std::optional<JsonFields> arguments = config.Object("model_args");
  std::smatch match;
  if (arguments && arguments->Has("img_size") && !arguments->raw().at("img_size").is_array()) {
    encoder.image_height = arguments->Int("img_size", 0, 1, 16'384);
    encoder.image_width = encoder.image_height;
  } else if (pretrained && pretrained->Has("input_size")) {
    const nlohmann::json& size = pretrained->raw().at("input_size");
    const bool right = size.is_array() && size.size() == 3 &&
                       std::all_of(size.begin(), size.end(), [](const nlohmann::json& side) {
                         return side.is_number_unsigned() && side.get<uint64_t>() >= 1 &&
                                side.get<uint64_t>() <= 16'384;
                       });
    if (!right) {
      Fail("{}: 'pretrained_cfg.input_size' is {}; expected [channels, height, width].",
           config.file().string(), size.dump());
    }
    encoder.image_height = size[1].get<int64_t>();
    encoder.image_width = size[2].get<int64_t>();
  } else if (std::regex_match(architecture, match, PlainVitName())) {
    encoder.image_height = std::stoll(match[3].str().substr(0, 6));
    encoder.image_width = encoder.image_height;
    encoder.notes.push_back("image size taken from the architecture's name");
  }
}

int64_t ReadHeads(const JsonFields& config, const std::string& architecture,
                  EncoderConfig& encoder) {
  if (const std::optional<JsonFields> arguments = config.Object("model_args")) {
    if (arguments->Has("num_heads")) return arguments->Int("num_heads", 0, 1, 4'096);
  }
  std::smatch match;
  if (std::regex_match(architecture, match, PlainVitName())) {
    for (const NamedSize& named : kHeadsBySize) {
      if (match[1].str() == named.size) return named.heads;
    }
  }
  encoder.notes.push_back(
      fmt::format("heads assumed to be 64 wide: neither model_args nor the name '{}' states them",
                  architecture));
  if (encoder.width % 64 != 0) {
    Fail(
        "{}: the number of heads is not stated, and the width {} is no multiple of 64; add "
        "\"model_args\": {{\"num_heads\": ...}}.",
        config.file().string(), encoder.width);
  }
  return encoder.width / 64;
}

// Everything else that model_args can hold changes what the model computes.
void RefuseUnknownArguments(const JsonFields& config) {
  static const std::set<std::string> kKnown = {
      "num_heads", "embed_dim",   "depth",    "patch_size",  "img_size",    "mlp_ratio",
      "qkv_bias",  "num_classes", "in_chans", "global_pool", "class_token", "dynamic_img_size"};
  const std::optional<JsonFields> arguments = config.Object("model_args");
  if (!arguments) return;
  for (const auto& [key, value] : arguments->raw().items()) {
    if (!kKnown.contains(key)) {
      Fail("{}: 'model_args.{}' is not supported; only plain ViTs of timm are read.",
           config.file().string(), key);
    }
  }
}

void ReadPooling(const JsonFields& config, EncoderConfig& encoder) {
  const std::string pool = config.Text("global_pool", "token");
  if (pool == "token" && encoder.class_token) {
    encoder.pool = PoolKind::kFirstToken;
  } else if (pool == "avg") {
    // timm moves the final norm behind the mean and calls it fc_norm.
    encoder.pool = PoolKind::kMean;
    encoder.final_norm = false;
    encoder.pool_norm = true;
  } else {
    Fail("{}: 'global_pool' is '{}'{}; supported are 'token' (with a class token) and 'avg'.",
         config.file().string(), pool, encoder.class_token ? "" : " without a class token");
  }
}

}  // namespace

EncoderConfig ReadTimmConfig(const JsonFields& config, const std::filesystem::path& folder) {
  const std::string architecture = config.Text("architecture", "");
  // The length is bounded because std::regex recurses once per character.
  if (architecture.size() > 200 || !std::regex_match(architecture, PlainVitName())) {
    Fail(
        "{}: the architecture '{}' of timm is not supported; plain ViTs are "
        "(vit_<size>_patch<P>_<side>, deit_<size>_patch<P>_<side>).",
        config.file().string(), architecture);
  }
  RefuseUnknownArguments(config);
  EncoderConfig encoder;
  encoder.family = "timm-vit";
  encoder.name = architecture;
  encoder.activation = ActivationKind::kGeluErf;
  encoder.norm_eps = 1e-6f;
  ReadShapes(Checkpoint(folder), encoder);
  ReadImageSize(config, architecture, encoder);
  encoder.heads = ReadHeads(config, architecture, encoder);
  encoder.classes = config.Int("num_classes", 1000, 0, 10'000'000);
  ReadPooling(config, encoder);
  return encoder;
}

}  // namespace w8a8
