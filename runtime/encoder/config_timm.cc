// timm hub folders of plain ViTs: config.json plus the shapes of the weights.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

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

struct PlainVitName {
  std::string size;   // "base"
  int64_t image = 0;  // 224
  bool distilled = false;
};

// A number of at most 5 digits, or nothing.
std::optional<int64_t> ParseSide(std::string_view text) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  return whole && text.size() <= 5 && value > 0 ? std::optional(value) : std::nullopt;
}

// {vit|deit}_<size>[_distilled]_patch<P>_<side>[_in21k]. Whatever else a name carries (clip,
// siglip, reg4, dinov2, rope, ...) stands for another computation: nothing is returned.
std::optional<PlainVitName> ParseName(const std::string& architecture) {
  std::vector<std::string> words(1);
  for (const char c : architecture) {
    if (c == '_') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  if (words.size() == 5 && words.back() == "in21k") words.pop_back();
  const bool distilled = words.size() == 5 && words[0] == "deit" && words[2] == "distilled";
  if (distilled) words.erase(words.begin() + 2);
  constexpr std::string_view kPatch = "patch";
  if (words.size() != 4 || (words[0] != "vit" && words[0] != "deit") || words[1].empty() ||
      !words[2].starts_with(kPatch) || !ParseSide(words[2].substr(kPatch.size()))) {
    return std::nullopt;
  }
  const std::optional<int64_t> image = ParseSide(words[3]);
  return image ? std::optional(PlainVitName{words[1], *image, distilled}) : std::nullopt;
}

constexpr const char* kPlainVit = "a plain ViT of timm";

void ReadShapes(const Checkpoint& checkpoint, const std::string& wanted_prefix,
                EncoderConfig& config) {
  const std::string prefix = checkpoint.FindTower("patch_embed.proj.weight", wanted_prefix);
  const TensorView& patch =
      ShapedTensor(checkpoint, prefix + "patch_embed.proj.weight", 4, kPlainVit);
  if (patch.shape[2] != patch.shape[3]) {
    Fail("{}: '{}' has shape {}; patches must be square.", checkpoint.folder().string(), patch.name,
         patch.ShapeText());
  }
  config.width = patch.shape[0];
  config.channels = patch.shape[1];
  config.patch = patch.shape[2];
  config.mlp_width = OutputsOfLayer(checkpoint, prefix + "blocks.0.mlp.fc1", kPlainVit);
  config.prefix_tokens = checkpoint.Find(prefix + "cls_token") != nullptr ? 1 : 0;
  config.pre_norm = checkpoint.Find(prefix + "norm_pre.weight") != nullptr;
  config.layer_scale = checkpoint.Find(prefix + "blocks.0.ls1.gamma") != nullptr;
  while (checkpoint.Find(fmt::format("{}blocks.{}.norm1.weight", prefix, config.blocks))) {
    ++config.blocks;
  }
}

// input_size is [channels, height, width].
void ReadImageSize(const JsonFields& config, const PlainVitName& name, EncoderConfig& encoder) {
  // Old timm wrote the fields of pretrained_cfg beside the architecture.
  const JsonFields pretrained = config.Object("pretrained_cfg").value_or(config);
  const std::optional<JsonFields> arguments = config.Object("model_args");
  if (arguments && arguments->Has("img_size") && !arguments->raw().at("img_size").is_array()) {
    encoder.image_height = arguments->Int("img_size", 0, 1, kMaxImageSide);
    encoder.image_width = encoder.image_height;
  } else if (pretrained.Has("input_size")) {
    const nlohmann::json& size = pretrained.raw().at("input_size");
    const bool right = size.is_array() && size.size() == 3 &&
                       std::all_of(size.begin(), size.end(), [](const nlohmann::json& side) {
                         return side.is_number_unsigned() && side.get<uint64_t>() >= 1 &&
                                side.get<uint64_t>() <= uint64_t{kMaxImageSide};
                       });
    if (!right) {
      Fail("{}: 'input_size' is {}; expected [channels, height, width].", config.file(),
           size.dump());
    }
    encoder.image_height = size[1].get<int64_t>();
    encoder.image_width = size[2].get<int64_t>();
  } else {
    encoder.image_height = name.image;
    encoder.image_width = name.image;
    encoder.notes.push_back("image size taken from the architecture's name");
  }
}

int64_t ReadHeads(const JsonFields& config, const PlainVitName& name, EncoderConfig& encoder) {
  if (const std::optional<JsonFields> arguments = config.Object("model_args")) {
    if (arguments->Has("num_heads")) return arguments->Int("num_heads", 0, 1, kMaxWidth);
  }
  for (const NamedSize& named : kHeadsBySize) {
    if (name.size == named.size) return named.heads;
  }
  encoder.notes.push_back(fmt::format(
      "heads assumed to be 64 wide: neither model_args nor the size '{}' states them", name.size));
  if (encoder.width % 64 != 0) {
    Fail(
        "{}: the number of heads is not stated, and the width {} is no multiple of 64; add "
        "\"model_args\": {{\"num_heads\": ...}}.",
        config.file(), encoder.width);
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
      Fail("{}: 'model_args.{}' is not supported; only plain ViTs of timm are read.", config.file(),
           key);
    }
  }
}

void ReadPooling(const JsonFields& config, EncoderConfig& encoder) {
  const std::string pool = config.Text("global_pool", "token");
  if (pool == "token" && encoder.prefix_tokens > 0) {
    encoder.pool = PoolKind::kFirstToken;
  } else if (pool == "avg") {
    // timm moves the final norm behind the mean and calls it fc_norm.
    encoder.pool = PoolKind::kMean;
    encoder.final_norm = false;
    encoder.pool_norm = true;
  } else {
    Fail("{}: 'global_pool' is '{}'{}; supported are 'token' (with a class token) and 'avg'.",
         config.file(), pool, encoder.prefix_tokens > 0 ? "" : " without a class token");
  }
}

}  // namespace

EncoderConfig ReadTimmConfig(const JsonFields& config, const std::filesystem::path& folder,
                             const std::string& prefix) {
  const std::string architecture = config.Text("architecture", "");
  const std::optional<PlainVitName> name = ParseName(architecture);
  if (!name) {
    Fail(
        "{}: the architecture '{}' of timm is not supported; plain ViTs are "
        "(vit_<size>_patch<P>_<side>, deit_<size>[_distilled]_patch<P>_<side>).",
        config.file(), architecture);
  }
  RefuseUnknownArguments(config);
  EncoderConfig encoder;
  encoder.family = "timm-vit";
  encoder.name = architecture;
  encoder.activation = ActivationKind::kGeluErf;
  encoder.norm_eps = 1e-6f;
  ReadShapes(Checkpoint(folder), prefix, encoder);
  ReadImageSize(config, *name, encoder);
  encoder.heads = ReadHeads(config, *name, encoder);
  encoder.classes = config.Int("num_classes", 1000, 0, 10'000'000);
  ReadPooling(config, encoder);
  if (name->distilled) {
    encoder.prefix_tokens = 2;
    encoder.distilled_head = encoder.classes > 0;
  }
  return encoder;
}

}  // namespace w8a8
