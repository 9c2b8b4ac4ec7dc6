#include "runtime/encoder/vlm_table.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace w8a8 {
namespace {

constexpr const char* kClipLarge336 =
    R"({"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "image_size": 336, "patch_size": 14})";
constexpr const char* kClipLarge224 =
    R"({"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14})";
constexpr const char* kOneVision =
    R"({"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
        "num_attention_heads": 16, "image_size": 384, "patch_size": 14})";
constexpr const char* kAya =
    R"({"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
        "num_attention_heads": 14, "image_size": 384, "patch_size": 14})";
constexpr const char* kPaliGemma =
    R"({"hidden_size": 1152, "intermediate_size": 4096, "num_hidden_layers": 27,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14})";
constexpr const char* kCohere2 =
    R"({"hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 27,
        "num_attention_heads": 12, "image_size": 512})";
constexpr const char* kEmpty = "{}";

constexpr const char* kLayer = "vision_feature_layer";
constexpr const char* kStrategy = "vision_feature_select_strategy";
constexpr const char* kClip = "clip_vision_model";
constexpr const char* kSiglip = "siglip_vision_model";

// A model whose get_image_features takes hidden_states[vision_feature_layer].
constexpr VlmEntry ByLayer(std::string_view model_type, const char* vision_type, const char* absent,
                           int64_t layer, FirstToken first_token) {
  return {model_type, vision_type, false,     absent,     TowerOutput::kHiddenState,
          kLayer,     layer,       kStrategy, first_token};
}

// A model that takes last_hidden_state; the class of its vision config may be any.
constexpr VlmEntry ByTokens(std::string_view model_type, const char* vision_type,
                            const char* absent = kEmpty) {
  return {model_type, vision_type, false, absent,           TowerOutput::kTokens,
          "",         0,           "",    FirstToken::kRead};
}

// As in transformers 4.57 and 5.24 (models/*/configuration_*.py, get_image_features of modeling_*),
// in OpenGVLab's modeling_internvl_chat.py and in VILA's vision_encoder.py.
constexpr std::array kEntries = {
    ByLayer("llava", kClip, kClipLarge336, -2, FirstToken::kDropped),
    ByLayer("llava_next", kClip, kClipLarge336, -2, FirstToken::kDropped),
    ByLayer("llava_next_video", kClip, kClipLarge336, -2, FirstToken::kDropped),
    ByLayer("video_llava", kClip, kClipLarge224, -2, FirstToken::kDropped),
    ByLayer("llava_onevision", kSiglip, kOneVision, -1, FirstToken::kRead),
    ByLayer("aya_vision", kSiglip, kAya, -1, FirstToken::kRead),
    VlmEntry{"vipllava", kClip, false, kClipLarge336, TowerOutput::kHiddenState, kLayer, 0, "",
             FirstToken::kDropped},
    VlmEntry{"mistral3", "pixtral", false, kEmpty, TowerOutput::kHiddenState, kLayer, -1, "",
             FirstToken::kRead},
    VlmEntry{"aria", "idefics3_vision", false, kEmpty, TowerOutput::kHiddenState, kLayer, -1, "",
             FirstToken::kRead},
    VlmEntry{"internvl", "internvl_vision", true, kEmpty, TowerOutput::kSelectedTokens, kLayer, -1,
             kStrategy, FirstToken::kDropped},
    VlmEntry{"internvl_chat", "intern_vit_6b", true, kEmpty, TowerOutput::kSelectedTokens,
             "select_layer", -1, "", FirstToken::kDropped},
    VlmEntry{"vila", "", false, "", TowerOutput::kHiddenState, "mm_vision_select_layer", -2,
             "mm_vision_select_feature", FirstToken::kDropped},
    ByTokens("paligemma", kSiglip, kPaliGemma),
    ByTokens("gemma3", kSiglip),
    ByTokens("shieldgemma2", kSiglip),
    ByTokens("t5gemma2_encoder", kSiglip),
    ByTokens("cohere2_vision", kSiglip, kCohere2),
    ByTokens("deepseek_vl", kSiglip),
    ByTokens("deepseek_vl_hybrid", kSiglip),
    ByTokens("modernvbert", kSiglip),
    ByTokens("ultravbert", kSiglip),
    ByTokens("lfm2_vl", "siglip2_vision_model"),
    ByTokens("lfm2-vl", "siglip2_vision_model"),
    VlmEntry{"idefics3", "idefics3_vision", true, kEmpty, TowerOutput::kTokens, "", 0, "",
             FirstToken::kRead},
    VlmEntry{"smolvlm", "smolvlm_vision", true, kEmpty, TowerOutput::kTokens, "", 0, "",
             FirstToken::kRead},
    VlmEntry{"siglip", kSiglip, true, kEmpty, TowerOutput::kPooled, "", 0, "", FirstToken::kRead},
    VlmEntry{"siglip2", "siglip2_vision_model", true, kEmpty, TowerOutput::kPooled, "", 0, "",
             FirstToken::kRead},
    VlmEntry{"clip", kClip, true, kEmpty, TowerOutput::kPooled, "", 0, "", FirstToken::kRead},
    VlmEntry{"vision-text-dual-encoder", "", false, "", TowerOutput::kPooled, "", 0, "",
             FirstToken::kRead}};

bool HoldsAny(std::string_view name, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [name](std::string_view word) { return name.find(word) != name.npos; });
}

}  // namespace

const VlmEntry* FindVlm(std::string_view model_type) {
  const auto* found = std::find_if(kEntries.begin(), kEntries.end(), [&](const VlmEntry& entry) {
    return entry.model_type == model_type;
  });
  return found == kEntries.end() ? nullptr : &*found;
}

bool MayChooseFeatures(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool layer = HoldsAny(lower, {"layer"}), select = HoldsAny(lower, {"select"});
  const bool of_vision = HoldsAny(
      lower, {"vision", "visual", "vit", "image", "feature", "mm_", "extract", "deepstack"});
  return ((layer && select) || ((layer || select) && of_vision)) &&
         !HoldsAny(lower, {"norm", "projector", "freeze", "tun", "train", "drop_path", "dropout",
                           "text", "llm", "language", "cross", "adapter", "connector"});
}

}  // namespace w8a8
