// Towers inside vision-language models: what the model around them reads.
#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"
#include "runtime/encoder/vlm_table.h"

namespace w8a8 {
namespace {

constexpr const char* kWayOut =
    "Save the vision tower as a folder of its own (its save_pretrained) to measure it as an "
    "encoder";

// What a config says of its tower: which output, of how many blocks, with which first token.
struct Reading {
  TowerOutput output = TowerOutput::kTokens;
  int64_t layer = -1;
  std::string layer_from =
      {};  // "vision_feature_layer -2", for the notes; "" where nothing says so
  FirstToken first_token = FirstToken::kRead;
  std::string token_from = {};
};

// One layer, or a list of one.
int64_t LayerOf(const JsonFields& value) {
  if (!value.raw().is_array()) return value.Int(-kMaxBlocks, kMaxBlocks);
  if (value.raw().size() != 1) {
    value.Refuse(fmt::format("one layer: features of several are not supported. {}", kWayOut));
  }
  return value.Elements().front().Int(-kMaxBlocks, kMaxBlocks);
}

// The names are those of transformers, and of LLaVA's own code.
FirstToken FirstTokenOf(const JsonFields& value) {
  const std::string name = value.raw().is_string() ? value.Text() : "";
  if (name == "default" || name == "patch") return FirstToken::kDropped;
  if (name == "full" || name == "cls_patch") return FirstToken::kRead;
  value.Refuse("\"default\" or \"patch\" (without the class token), \"full\" or \"cls_patch\"");
}

// VipLLaVA's field had another name in transformers 4.
std::optional<JsonFields> FindLayer(const JsonFields& whole, const VlmEntry& entry) {
  std::optional<JsonFields> layer = whole.Find(entry.layer_field);
  if (layer || entry.layer != 0) return layer;
  return whole.Find((std::string(entry.layer_field) + "s").c_str());
}

Reading ReadingOfKnown(const JsonFields& whole, const VlmEntry& entry) {
  Reading reading{.output = entry.output, .first_token = entry.first_token};
  if (entry.layer_field[0] != '\0') {
    const std::optional<JsonFields> layer = FindLayer(whole, entry);
    if (!layer && entry.layer == 0) {
      Fail(
          "{}: a '{}' checkpoint reads several layers of its tower where '{}' does not say "
          "otherwise, which is not supported. {}.",
          whole.file(), entry.model_type, entry.layer_field, kWayOut);
    }
    reading.layer = layer ? LayerOf(*layer) : entry.layer;
    reading.layer_from = fmt::format("{} {}", entry.layer_field, reading.layer);
  }
  if (entry.token_field[0] == '\0') return reading;
  if (const std::optional<JsonFields> strategy = whole.Find(entry.token_field)) {
    reading.first_token = FirstTokenOf(*strategy);
  }
  reading.token_from = entry.token_field;
  return reading;
}

// A field that is there and not switched off.
bool IsSet(const JsonFields& value) { return !value.raw().is_null() && value.raw() != false; }

// Takes in the field if it is one whose meaning is known.
bool TakeSelection(const std::string& key, const JsonFields& value, Reading* reading) {
  for (const LayerField& field : kLayerFields) {
    if (key != field.name) continue;
    const int64_t layer = LayerOf(value);
    if (!reading->layer_from.empty() && layer != reading->layer) {
      value.Refuse(fmt::format("the same layer as {}", reading->layer_from));
    }
    reading->output = field.output;
    reading->layer = layer;
    reading->layer_from = fmt::format("{} {}", key, layer);
    return true;
  }
  const auto* token = std::find(kTokenFields.begin(), kTokenFields.end(), key);
  if (token == kTokenFields.end()) return false;
  reading->first_token = FirstTokenOf(value);
  reading->token_from = key;
  return true;
}

// A model that is not known here is taken at the word of its config. Fields that may choose what is
// read, but whose meaning is not known, are refused rather than passed over.
Reading ReadingOfUnknown(const JsonFields& whole, const JsonFields& vision,
                         const EncoderConfig& config) {
  Reading reading;
  // InternVL's own code, which others took over, drops the class token without any field.
  if (config.family == "internvit") reading.first_token = FirstToken::kDropped;
  for (const auto& [key, value] : whole.Members()) {
    if (!IsSet(value)) continue;
    if (TakeSelection(key, value, &reading) || !MayChooseFeatures(key)) continue;
    value.Refuse(
        fmt::format("none: what it means for the vision tower is not known here. {}", kWayOut));
  }
  for (const auto& [key, value] : vision.Members()) {
    Reading nested;
    if (IsSet(value) && TakeSelection(key, value, &nested)) {
      value.Refuse(fmt::format("none inside the tower's own config. {}", kWayOut));
    }
  }
  return reading;
}

// hidden_states[layer] of an encoder of n blocks: the output of that many blocks; from the end, -1
// is that of all of them.
int64_t BlocksRead(const JsonFields& whole, const Reading& reading, int64_t stored) {
  const int64_t kept = reading.layer < 0 ? stored + 1 + reading.layer : reading.layer;
  if (kept >= 1 && kept <= stored) return kept;
  const std::string field = reading.layer_from.substr(0, reading.layer_from.find(' '));
  Fail("{}: '{}' is {}, but the vision encoder has {} blocks; expected 1 to {} or -{} to -1.",
       whole.file(), field, reading.layer, stored, stored, stored);
}

// Whatever the tower makes of its tokens on its own, the model around it does not read. What its
// own class gives without further weights is kept, unread, for those who ask for it.
void ReadTokensOnly(EncoderConfig* config) {
  const bool free = (config->family == "internvit" || config->family == "dinov2") &&
                    config->pool == PoolKind::kFirstToken;
  config->pooled_unread = true;
  if (!free) config->pool = PoolKind::kNone;
  config->pool_norm = false;
  config->pooler = 0;
  config->projection = 0;
  config->classes = 0;
  config->distilled_head = false;
}

std::string DropFirstToken(const JsonFields& whole, const Reading& reading, EncoderConfig* config) {
  if (reading.first_token == FirstToken::kRead) return "";
  if (config->variable_grid) {
    Fail(
        "{}: '{}' drops the first token of each image, which for a tower without a class token and "
        "with images of any shape is a patch; this is not supported. {}.",
        whole.file(), reading.token_from, kWayOut);
  }
  config->unread_tokens = 1;
  return config->prefix_tokens > 0 ? ", without the class token"
                                   : ", without the first patch (the tower has no class token)";
}

// `reads` begins the note: "'llava' reads".
void Apply(const JsonFields& whole, const std::string& reads, const Reading& reading,
           EncoderConfig* config) {
  ReadTokensOnly(config);
  const std::string without = DropFirstToken(whole, reading, config);
  if (reading.output == TowerOutput::kTokens ||
      (reading.output == TowerOutput::kSelectedTokens && reading.layer == -1)) {
    config->notes.push_back(
        fmt::format("{} the tokens {}{}", reads,
                    config->final_norm ? "behind the final norm" : "of the last block", without));
    return;
  }
  const int64_t stored = config->blocks;
  config->blocks = BlocksRead(whole, reading, stored);
  const bool whole_tower = config->blocks == stored && !config->final_norm;
  config->final_norm = false;
  if (!whole_tower) config->pool = PoolKind::kNone;
  config->notes.push_back(fmt::format("{} the output of block {} of {} without a final norm{} ({})",
                                      reads, config->blocks, stored, without, reading.layer_from));
}

}  // namespace

void ApplyConsumer(const JsonFields& whole, const Consumer& consumer, const JsonFields& vision,
                   EncoderConfig* config) {
  const std::string& model_type = consumer.model_type;
  const VlmEntry* entry = FindVlm(model_type);
  if (entry == nullptr) {
    return Apply(whole, fmt::format("'{}' is not known here and taken to read", model_type),
                 ReadingOfUnknown(whole, vision, *config), config);
  }
  if (entry->output == TowerOutput::kPooled) {
    if (model_type == "vision-text-dual-encoder") {
      config->notes.emplace_back(
          "the pooled output is what 'vision-text-dual-encoder' reads; its 'visual_projection' is "
          "not run");
    }
    return;
  }
  Reading reading = ReadingOfKnown(whole, *entry);
  // Video-LLaVA's get_video_features leaves the first token, whatever the strategy.
  if (consumer.prefix.find("video_tower") != std::string::npos) {
    reading.first_token = FirstToken::kRead;
  }
  Apply(whole, fmt::format("'{}' reads", model_type), reading, config);
}

}  // namespace w8a8
