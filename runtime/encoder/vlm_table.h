// The models that read a vision encoder inside them, as far as they are known: what each reads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace w8a8 {

// What a model reads of its tower.
enum class TowerOutput : uint8_t {
  kHiddenState,     // hidden_states[layer]: the output of so many blocks, never normed
  kSelectedTokens,  // the same, but -1 stands for the tokens behind the tower's final norm
  kTokens,          // the tokens behind the final norm, whatever any field says
  kPooled,          // the pooled output
};

// Whether a model drops the first token of each image, where no field says so.
enum class FirstToken : uint8_t { kRead, kDropped };

struct VlmEntry {
  std::string_view model_type;
  // The type of a 'vision_config' that states none; `fixed_type`: whatever it states, because the
  // model's config class has one class for it.
  const char* vision_type;
  bool fixed_type;
  // transformers' vision_config where the file has none (JSON).
  const char* absent;
  TowerOutput output;
  // The field that names the layer ("" where none does) and its default, 0 for a list of several.
  const char* layer_field;
  int64_t layer;
  // The field that says whether the first token is read ("" where none does), and its default.
  const char* token_field;
  FirstToken first_token;
};

// nullptr for a model that is not known here.
const VlmEntry* FindVlm(std::string_view model_type);

// Fields that say in models of any kind which layer is read, with what their -1 stands for.
struct LayerField {
  const char* name;
  TowerOutput output;
};
constexpr std::array<LayerField, 5> kLayerFields = {
    {{"vision_feature_layer", TowerOutput::kHiddenState},
     {"vision_feature_layers", TowerOutput::kHiddenState},
     {"mm_vision_select_layer", TowerOutput::kHiddenState},
     {"vision_select_layer", TowerOutput::kHiddenState},
     {"select_layer", TowerOutput::kSelectedTokens}}};
// Fields that say in models of any kind whether the first token is read.
constexpr std::array<const char*, 4> kTokenFields = {
    "vision_feature_select_strategy", "feature_select_strategy", "mm_vision_select_feature",
    "vision_select_feature"};

// Whether a field of this name, of a model that is not known, is likely to choose what is read.
bool MayChooseFeatures(std::string_view name);

}  // namespace w8a8
