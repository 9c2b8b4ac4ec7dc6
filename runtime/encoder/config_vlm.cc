// Towers inside vision-language models: what the model around them reads.
#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// transformers computes the buckets of Idefics3's positions in binary32. For a square image that
// fills the table they are 0, 1, 2, ..., except for these sides, where some rows come twice (found
// by running transformers 5.23 on all sides up to kCheckedSides).
constexpr int64_t kCheckedSides = 70;
constexpr std::array<int64_t, 19> kInexactSides = {19, 25, 29, 31, 38, 40, 41, 43, 47, 49,
                                                   50, 54, 55, 58, 59, 61, 62, 67, 68};

// Which hidden state a model reads, by the field that says so.
struct Consumer {
  std::string_view model_type;
  const char* field;
  int64_t fallback;
  bool last_is_normed;  // -1 stands for the output behind the final norm
};
constexpr std::array<Consumer, 6> kConsumers = {
    {{"llava", "vision_feature_layer", -2, false},
     {"llava_next", "vision_feature_layer", -2, false},
     {"llava_onevision", "vision_feature_layer", -1, false},
     {"internvl", "vision_feature_layer", -1, true},
     {"internvl_chat", "select_layer", -1, true},
     {"vila", "mm_vision_select_layer", -2, false}}};

// Models that read every token behind the final norm.
constexpr std::array<std::string_view, 4> kReadNormedTokens = {"paligemma", "gemma3", "idefics3",
                                                               "smolvlm"};

// hidden_states[layer] of an encoder of n blocks: the output of that many blocks; from the end, -1
// is that of all of them.
void KeepBlocks(const JsonFields& whole, const Consumer& consumer, int64_t layer,
                EncoderConfig* config) {
  const int64_t stored = config->blocks;
  const int64_t kept = layer < 0 ? stored + 1 + layer : layer;
  if (kept < 1 || kept > stored) {
    Fail("{}: '{}' is {}, but the vision encoder has {} blocks.", whole.file(), consumer.field,
         layer, stored);
  }
  config->blocks = kept;
  config->final_norm = false;
  config->notes.push_back(
      fmt::format("'{}' reads the output of block {} of {} without a final norm ({} {})",
                  consumer.model_type, kept, stored, consumer.field, layer));
}

// Whatever the tower makes of its tokens on its own, the model around it does not read.
void ReadTokensOnly(EncoderConfig* config) {
  config->pool = PoolKind::kNone;
  config->pool_norm = false;
  config->projection = 0;
  config->classes = 0;
}

void ApplySelectedLayer(const JsonFields& whole, const Consumer& consumer, EncoderConfig* config) {
  if (whole.Has(consumer.field) && whole.raw().at(consumer.field).is_array()) {
    Fail("{}: '{}' is a list; features of several layers are not supported.", whole.file(),
         consumer.field);
  }
  const int64_t layer = whole.Int(consumer.field, consumer.fallback, -kMaxBlocks, kMaxBlocks);
  ReadTokensOnly(config);
  if (layer == -1 && consumer.last_is_normed) {
    config->notes.push_back(
        fmt::format("'{}' reads the tokens {}", consumer.model_type,
                    config->final_norm ? "behind the final norm" : "of the last block"));
    return;
  }
  KeepBlocks(whole, consumer, layer, config);
}

}  // namespace

bool IsVisionLanguageModel(const std::string& model_type) {
  return std::any_of(kConsumers.begin(), kConsumers.end(),
                     [&](const Consumer& c) { return c.model_type == model_type; }) ||
         std::count(kReadNormedTokens.begin(), kReadNormedTokens.end(), model_type) == 1;
}

void ApplyConsumer(const JsonFields& whole, const std::string& model_type, EncoderConfig* config) {
  for (const Consumer& consumer : kConsumers) {
    if (consumer.model_type == model_type) return ApplySelectedLayer(whole, consumer, config);
  }
  if (std::count(kReadNormedTokens.begin(), kReadNormedTokens.end(), model_type) == 0) return;
  ReadTokensOnly(config);
  config->notes.push_back(fmt::format("'{}' reads the tokens behind the final norm", model_type));
}

EncoderConfig ReadIdefics3Config(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 1152,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 16,
                                                       .image = 224,
                                                       .patch = 32,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu_pytorch_tanh"});
  config.family = "siglip";  // its tensors have SigLIP's names
  const int64_t side = config.grid_rows();
  const bool exact =
      side <= kCheckedSides && std::count(kInexactSides.begin(), kInexactSides.end(), side) == 0;
  if (side != config.grid_cols() || !exact) {
    Fail(
        "{}: Idefics3's position buckets on a grid of {}x{} do not give every patch its own row of "
        "the position table; such encoders are not supported.",
        vision.file(), side, config.grid_cols());
  }
  config.notes.emplace_back("images fill the whole position table: every patch has its own row");
  return config;
}

}  // namespace w8a8
