// How much of a checkpoint an export holds: all of it, or its vision tower alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/encoder/config.h"

namespace w8a8 {

enum class ExportScope : uint8_t {
  kWhole,      // every tensor: the class that loads the source loads the export
  kTowerOnly,  // the tower as a checkpoint of its own vision class, whatever is around it
};

// Which tensors of the source are written, and under which names.
class ExportedKeys {
 public:
  // `config`: of the source. A model without a 'vision_config' is its own tower, and stays whole;
  // CuMo's has a language model around it all the same: its tower alone is refused.
  ExportedKeys(ExportScope scope, const EncoderConfig& encoder, const std::string& prefix,
               const nlohmann::ordered_json& config);

  // nullopt: left out.
  std::optional<std::string> NameOf(const std::string& key) const;
  // For keys that are not left out.
  std::vector<std::string> NamesOf(const std::vector<std::string>& keys) const;
  // The tower's in the export.
  const std::string& prefix() const { return written_prefix_; }
  bool tower_only() const { return tower_only_; }
  // Whether the tower's own class reads it out of a whole model, by the config under vision_config.
  bool nested() const { return nested_; }
  // Whether that class reads `key`, which is not left out: no group of the source is in its config.
  bool IsReadAlone(const std::string& key) const;

 private:
  bool tower_only_ = false;
  bool nested_ = false;
  std::string prefix_, written_prefix_;
  std::string beside_, written_beside_;  // CLIP's projection stands beside the tower
};

// Whether the model of this config has Idefics3's tower, whose patches find their positions by
// buckets.
bool HasIdefics3Tower(const nlohmann::ordered_json& config);

// Whether the tower is CuMo's, which nothing but CuMo's own code around it reads.
bool IsTowerOfCumo(const nlohmann::ordered_json& config);

// The config of the vision class, from that of the model around it.
nlohmann::ordered_json TowerConfig(const EncoderConfig& encoder,
                                   const nlohmann::ordered_json& whole);

}  // namespace w8a8
