// Qwen's fields on a vision encoder: which blocks have experts, and how many run for a token.
#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// A field of another router, or of shared experts that no public code describes, and the value with
// which it changes nothing (JSON).
struct OtherKind {
  const char* field;
  std::string_view harmless;
};
constexpr std::array<OtherKind, 10> kOtherKinds = {{{"scoring_func", R"("softmax")"},
                                                    {"topk_method", R"("greedy")"},
                                                    {"e_score_correction_bias", "false"},
                                                    {"n_group", "null"},
                                                    {"topk_group", "null"},
                                                    {"routed_scaling_factor", "1"},
                                                    {"router_scaling_factor", "1"},
                                                    {"capacity_factor", "null"},
                                                    {"num_shared_experts", "0"},
                                                    {"n_shared_experts", "0"}}};

void RefuseOtherKinds(const JsonFields& vision) {
  for (const OtherKind& kind : kOtherKinds) {
    const std::optional<JsonFields> value = vision.Find(kind.field);
    const auto harmless = nlohmann::json::parse(kind.harmless);
    if (!value || value->raw() == harmless) continue;
    value->Refuse(fmt::format("{}; other routers and shared experts are not supported",
                              harmless.is_null() ? "none" : harmless.dump()));
  }
}

// Mixtral's name stands for the same number.
int64_t ReadExperts(const JsonFields& vision) {
  const int64_t local = vision.Int("num_local_experts", 0, 0, kMaxExperts);
  const int64_t experts = vision.Int("num_experts", local, 0, kMaxExperts);
  if (vision.Has("num_local_experts") && local != experts) {
    vision.At("num_local_experts").Refuse(fmt::format("{}, as 'num_experts' says", experts));
  }
  return experts;
}

// transformers' classes have different defaults (2, 4, 8), so that a missing one is anybody's.
int64_t ReadChosen(const JsonFields& vision, int64_t experts) {
  const std::optional<JsonFields> chosen = vision.Find("num_experts_per_tok");
  if (chosen) return chosen->Int(1, experts);
  Fail("{}: 'num_experts_per_tok' is missing, where 'num_experts' is {}; state how many run.",
       vision.file(), experts);
}

std::vector<bool> ReadBlocksWithExperts(const JsonFields& vision, int64_t blocks) {
  const int64_t step = vision.Int("decoder_sparse_step", 1, 1, INT64_MAX);
  std::vector<bool> in_block(static_cast<size_t>(blocks));
  for (int64_t i = 0; i < blocks; ++i) in_block[static_cast<size_t>(i)] = (i + 1) % step == 0;
  if (const std::optional<JsonFields> dense = vision.Find("mlp_only_layers")) {
    for (const JsonFields& block : dense->Elements()) {
      in_block[static_cast<size_t>(block.Int(0, blocks - 1))] = false;
    }
  }
  return in_block;
}

}  // namespace

void ReadMixture(const JsonFields& vision, EncoderConfig* config) {
  MixtureConfig& mixture = config->mixture;
  mixture.experts = ReadExperts(vision);
  if (mixture.experts == 0) return;
  RefuseOtherKinds(vision);
  mixture.chosen = ReadChosen(vision, mixture.experts);
  mixture.renormalized = vision.Bool("norm_topk_prob", false);
  if (!vision.Has("norm_topk_prob")) {
    config->notes.emplace_back(
        "'norm_topk_prob' is not stated: the weights of the experts that run for a token are not "
        "renormalised (Qwen's default)");
  }
  mixture.width = vision.Int("moe_intermediate_size", config->mlp_width, 1, kMaxWidth);
  mixture.shared_width = vision.Int("shared_expert_intermediate_size", 0, 0, kMaxWidth);
  mixture.in_block = ReadBlocksWithExperts(vision, config->blocks);
}

}  // namespace w8a8
