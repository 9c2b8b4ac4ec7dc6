// What a checkpoint's JSON files say about its quantized layers. Which layers are quantized is
// decided by what is stored for them; the record says how stored codes are meant.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/json_fields.h"
#include "runtime/encoder/module_scheme.h"

namespace w8a8 {

class ModuleMatcher;

// Not thread-safe.
class QuantizationRecord {
 public:
  // Of config.json in `folder`: `quantization_config` (older: `compression_config`) of its
  // vision_config, of the whole, or of its language model; else of modelopt's hf_quant_config.json.
  explicit QuantizationRecord(const std::filesystem::path& folder);

  bool present() const { return !place_.empty(); }
  // "quantization_config of config.json: quant_method 'gptq'"; "" if there is none.
  std::string Describe() const;
  // What is said of these codes; nullopt where nothing is. Throws Error naming the tensor where no
  // group stores codes in this form, and what SchemeOfGroup() does. Of several groups the one whose
  // targets match best counts (compressed-tensors: names and "re:" patterns before class names).
  // Names of modules change between versions of transformers, so that a group may count whose
  // targets match nothing.
  std::optional<ModuleScheme> SchemeOf(const StoredCodes& codes) const;
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
