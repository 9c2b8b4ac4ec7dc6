// Models whose other parts are quantized already: one quantization_config for them and the tower.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "eval/export/tower_modules.h"

namespace w8a8 {

// The quantization that a model's config states, wherever transformers and vLLM look for it: at its
// top, under its language model's config, under compressed-tensors' older name. Throws
// MendableError where it cannot stand beside compressed-tensors' own in one config: another method
// (GPTQ, AWQ, bitsandbytes, ...), or codes that are not stored yet. `folder`: for the files beside
// config.json that state such a method as well.
std::optional<nlohmann::ordered_json> FindQuantization(const nlohmann::ordered_json& config,
                                                       const std::filesystem::path& folder);
// Removes it from all these places.
void EraseQuantization(nlohmann::ordered_json* config);

// `theirs` with the groups of `ours` added. Their groups, targets and ignored names stay as they
// are, but for those that would catch a layer of `modules`: names of such layers are dropped,
// patterns are kept from matching them. `own_targets`: targets that an export wrote into `theirs`
// earlier; they are dropped with the groups that have no others. What remains is `ours` alone where
// nothing else was quantized.
nlohmann::ordered_json MergedQuantization(const nlohmann::ordered_json& theirs,
                                          const nlohmann::ordered_json& ours,
                                          const TowerModules& modules,
                                          const std::set<std::string>& own_targets);

}  // namespace w8a8
