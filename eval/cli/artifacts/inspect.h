// What an artifact holds, as one JSON object: the facts first, then lists of equal objects, which
// are tables. `inspect` prints it as text or as it is.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "quant/spec.h"

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

// What the plan's quantization is called: its scheme, where it has one, and the words of
// compressed-tensors and vLLM. Nothing of a plan without sites.
void AddWords(const Plan& plan, nlohmann::ordered_json& facts);

// One fact a line, then the tables, numbers to six digits.
std::string FactsText(const nlohmann::ordered_json& facts);

}  // namespace w8a8
