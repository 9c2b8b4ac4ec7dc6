// What an artifact holds, as one JSON object: the facts first, then lists of equal objects, which
// are tables. `inspect` prints it as text or as it is.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "eval/job/plan_words.h"

namespace w8a8 {

// Any artifact but a report folder (its summary is eval/job/summary.h's). Throws Error for what
// RecognizeArtifact() does not know and for damaged files. `model_prefix`: --model-prefix.
nlohmann::ordered_json InspectArtifact(const std::filesystem::path& path,
                                       const std::string& model_prefix);

// A model folder, quantized or not: family, shapes, outputs, preprocessing, dtypes, multiply-adds
// per image, memory, what is not used and why, and a row for each site. Weights are not read, only
// hashed.
nlohmann::ordered_json InspectModel(const std::filesystem::path& folder,
                                    const std::string& model_prefix);

// The scheme, where there is one, and the words of compressed-tensors and vLLM. Nothing of a plan
// without sites.
void AddWords(const PlanWords& words, nlohmann::ordered_json& facts);

// One fact a line, then the tables, numbers to six digits.
std::string FactsText(const nlohmann::ordered_json& facts);

}  // namespace w8a8
