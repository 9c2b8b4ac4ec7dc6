// CuMo's checkpoints (github.com/SHI-Labs/CuMo, cumo/model/multimodal_encoder): LLaVA's folder with
// a CLIP tower that may have experts in every block.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

constexpr const char* kOfCumo = "a CLIP tower of CuMo";
constexpr const char* kAnchor = "embeddings.patch_embedding.weight";
constexpr int64_t kOpenAiHeadWidth = 64;

// One past the last block whose number begins a key; of numbers that are none, nothing is said
// here.
int64_t StoredBlocks(const Checkpoint& checkpoint, const std::string& stem) {
  int64_t blocks = 0;
  const auto& tensors = checkpoint.tensors();
  for (auto entry = tensors.lower_bound(stem);
       entry != tensors.end() && entry->first.starts_with(stem); ++entry) {
    const char* end = entry->first.data() + entry->first.size();
    int64_t block = -1;
    const auto [rest, problem] = std::from_chars(entry->first.data() + stem.size(), end, block);
    if (problem == std::errc() && rest != end && *rest == '.' && block < kMaxBlocks) {
      blocks = std::max(blocks, block + 1);
    }
  }
  return blocks;
}

int64_t ImageSide(const std::string& folder, const TensorView& positions, const TensorView& patch) {
  const int64_t rows = positions.shape[0], side = patch.shape[2];
  const auto grid =
      static_cast<int64_t>(std::sqrt(static_cast<double>(std::max(rows, int64_t{1}) - 1)));
  if (grid >= 1 && grid * grid + 1 == rows && side <= kMaxImageSide) return side * grid;
  Fail("{}: tensor '{}' has shape {} and '{}' {}; expected a class token and a square of patches.",
       folder, positions.name, positions.ShapeText(), patch.name, patch.ShapeText());
}

// The fields of a CLIPVisionConfig, as far as OpenAI's towers differ in them.
nlohmann::json SizesOfTensors(const JsonFields& config, const std::filesystem::path& folder,
                              const std::string& wanted_prefix) {
  const Checkpoint checkpoint(folder);
  const std::string tower = checkpoint.FindTower(kAnchor, wanted_prefix);
  const TensorView& patch = ShapedTensor(checkpoint, tower + kAnchor, 4, kOfCumo);
  const TensorView& positions =
      ShapedTensor(checkpoint, tower + "embeddings.position_embedding.weight", 2, kOfCumo);
  const std::string blocks = tower + "encoder.layers.";
  const char* fc1 = config.Bool("clip_smoe", false) ? "0.experts.0.fc1" : "0.mlp.fc1";
  const int64_t width = patch.shape[0];
  if (width % kOpenAiHeadWidth != 0) {
    Fail("{}: tensor '{}' has shape {}; OpenAI's heads are {} wide, which does not divide {}.",
         folder.string(), patch.name, patch.ShapeText(), kOpenAiHeadWidth, width);
  }
  return {{"hidden_size", width},
          {"num_attention_heads", width / kOpenAiHeadWidth},
          {"num_channels", patch.shape[1]},
          {"patch_size", patch.shape[2]},
          {"image_size", ImageSide(folder.string(), positions, patch)},
          {"intermediate_size", OutputsOfLayer(checkpoint, blocks + fc1, kOfCumo)},
          {"num_hidden_layers", StoredBlocks(checkpoint, blocks)}};
}

EncoderConfig ReadSizes(const JsonFields& config, const std::filesystem::path& folder,
                        const std::string& prefix) {
  if (const std::optional<JsonFields> vision = config.Object("vision_config")) {
    const std::string type = vision->Text("model_type", "clip_vision_model");
    if (type != "clip_vision_model") {
      vision->At("model_type").Refuse("clip_vision_model, which CuMo's tower is");
    }
    nlohmann::json tower = vision->raw();
    tower.erase("architectures");  // the class that it was once saved by
    return ReadClipConfig(JsonFields(tower, vision->file(), vision->place()));
  }
  const std::string name = config.Text("mm_vision_tower", "");
  if (!name.starts_with("openai/clip-vit-")) {
    Fail(
        "{}: 'mm_vision_tower' is '{}', and there is no 'vision_config'; only of OpenAI's "
        "(openai/clip-vit-...) are the sizes known. Add the tower's config as \"vision_config\".",
        config.file(), name);
  }
  const nlohmann::json sizes = SizesOfTensors(config, folder, prefix);
  EncoderConfig encoder = ReadClipConfig(JsonFields(sizes, config.file(), "vision_config"));
  encoder.notes.push_back(fmt::format(
      "no 'vision_config': sizes read from the tensors, and by the name '{}' heads {} wide, quick "
      "GELU and an epsilon of 1e-5 assumed",
      name, kOpenAiHeadWidth));
  return encoder;
}

void SetExperts(const JsonFields& config, EncoderConfig* encoder) {
  encoder->mixture = {};
  if (!config.Bool("clip_smoe", false)) return;
  MixtureConfig& mixture = encoder->mixture;
  mixture.experts = config.At("num_experts").Int(1, kMaxExperts);
  mixture.chosen = config.At("num_selected").Int(1, mixture.experts);
  mixture.renormalized = true;
  mixture.width = encoder->mlp_width;
  mixture.in_block.assign(static_cast<size_t>(encoder->blocks), true);
  mixture.stem = "";
}

// encoder_layers[:-1] in the tower's own forward: hidden_states[-2], whatever the field says.
void LeaveLastBlock(const JsonFields& config, EncoderConfig* encoder) {
  const std::string feature = config.Text("mm_vision_select_feature", "patch");
  if (feature != "patch" && feature != "cls_patch") {
    config.At("mm_vision_select_feature").Refuse(R"("patch" or "cls_patch")");
  }
  if (encoder->blocks < 2) {
    Fail("{}: the vision encoder has {} block(s); CuMo reads what enters the last of at least 2.",
         config.file(), encoder->blocks);
  }
  encoder->notes.push_back(fmt::format(
      "CuMo reads what enters block {} of {}, whatever 'mm_vision_select_layer' says{}",
      encoder->blocks, encoder->blocks, feature == "patch" ? ", without the class token" : ""));
  --encoder->blocks;
  encoder->unread_blocks = 1;
  encoder->unread_tokens = feature == "patch" ? 1 : 0;
  encoder->pool = PoolKind::kNone;
  encoder->pool_norm = false;
  encoder->pooled_unread = true;
}

// What CuMo makes of an image besides the view that the tower is given here.
void NoteViews(const JsonFields& config, EncoderConfig* encoder) {
  const std::optional<JsonFields> scales = config.Find("scales"),
                                  aspect = config.Find("image_aspect_ratio");
  if (!scales && !aspect) return;
  encoder->notes.push_back(fmt::format(
      "the whole image is one view: the pyramid and the padding around the tower are not made "
      "('scales' {}, 'image_aspect_ratio' {})",
      scales ? scales->raw().dump() : "not stated", aspect ? aspect->raw().dump() : "not stated"));
}

}  // namespace

bool IsCumo(const JsonFields& config) {
  if (!config.Has("clip_smoe")) return false;
  const nlohmann::json type = config.raw().value("model_type", nlohmann::json());
  return type == "llava_mistral" || type == "llava_mixtral";
}

EncoderConfig ReadCumoConfig(const JsonFields& config, const std::filesystem::path& folder,
                             const std::string& prefix) {
  EncoderConfig encoder = ReadSizes(config, folder, prefix);
  const std::optional<JsonFields> width = config.Find("mm_hidden_size");
  if (width && width->Int(1, kMaxWidth) != encoder.width) {
    width->Refuse(fmt::format("{}, the width of the vision encoder", encoder.width));
  }
  SetExperts(config, &encoder);
  LeaveLastBlock(config, &encoder);
  NoteViews(config, &encoder);
  return encoder;
}

}  // namespace w8a8
