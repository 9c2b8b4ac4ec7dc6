// The `quantization_config` of compressed-tensors for one export: which layers are INT8, and how.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "quant/spec.h"

namespace w8a8 {

// Targets of the layers by how their input becomes codes; the rest stays as it is.
struct QuantizedTargets {
  std::map<Granularity, std::vector<std::string>> by_input;  // kToken (dynamic), kTensor (static)
  std::vector<std::string> ignored;                          // every other linear layer
};

// Format int-quantized, one group per kind of input. Only keys that every release since 0.11 knows.
nlohmann::ordered_json QuantizationConfig(const QuantizedTargets& targets);

}  // namespace w8a8
