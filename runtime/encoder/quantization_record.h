// What a checkpoint's JSON files say about its quantized layers. Which layers are quantized is
// decided by what is stored for them; the record says how stored codes are meant.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/json_fields.h"

namespace w8a8 {

// The INT8 codes of one layer, as they lie in the file.
struct StoredCodes {
  std::string module;              // "vision_tower.encoder.layers.0.mlp.fc1"
  bool zero_weight_point = false;  // a zero point is stored for the weights, and it is 0
  bool zero_input_point = false;   // for the inputs
  bool convolution = false;        // not a Linear
};

class ModuleMatcher;

enum class InputScheme : uint8_t { kUnknown, kDynamicToken, kStaticTensor };

// Not thread-safe.
class QuantizationRecord {
 public:
  // Of config.json in `folder`: `quantization_config` (older: `compression_config`) of its
  // vision_config, of the whole, or of its language model; else of modelopt's hf_quant_config.json.
  explicit QuantizationRecord(const std::filesystem::path& folder);

  bool present() const { return !place_.empty(); }
  // "quantization_config of config.json: quant_method 'gptq'"; "" if there is none.
  std::string Describe() const;
  // How the inputs of these codes are quantized; kUnknown where nothing is said. Throws Error
  // naming the module unless the codes are symmetric 8-bit integers with a scale for each row or
  // for all, and the inputs per-token dynamic or per-tensor static symmetric 8-bit integers. Of
  // several groups the one whose targets match best, and whose weights are 8-bit integers, counts
  // (compressed-tensors: names and "re:" patterns before class names). Names of modules change
  // between versions of transformers, so that a group may count whose targets match nothing.
  InputScheme SchemeOf(const StoredCodes& codes) const;
  // Why a loader that goes by the record would take these codes for plain weights; "" where one
  // may cover them. A group counts if its targets match any end of the module's name, or if its
  // patterns cannot be read here (Python's syntax is larger). Throws Error naming a pattern that is
  // none in Python either.
  std::string WhyUncovered(const StoredCodes& codes) const;

 private:
  void Take(const nlohmann::json& config, const std::string& file);
  JsonFields Fields() const;
  std::vector<JsonFields> Groups() const;
  std::string GroupNames() const;
  void RefuseOnlineTransforms(const std::string& module) const;

  std::shared_ptr<const nlohmann::json> record_;
  std::shared_ptr<ModuleMatcher> matcher_;  // keeps compiled patterns
  std::string file_, place_;                // place_: "quantization_config"
};

}  // namespace w8a8
