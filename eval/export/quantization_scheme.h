// The `quantization_config` of compressed-tensors for one export: which layers are INT8, and how.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "quant/spec.h"

namespace w8a8 {

// Checkpoint stems of the layers by how their input becomes codes; the rest stays as it is.
struct QuantizedStems {
  std::map<Granularity, std::vector<std::string>> by_input;  // kToken (dynamic), kTensor (static)
  std::vector<std::string> ignored;                          // every other linear layer
  // The tower's prefix ("vision_model.") if the checkpoint holds nothing but the tower, else empty.
  // It is left out of the targets, because libraries disagree on whether the modules of a lone
  // tower carry it.
  std::string optional_prefix;
};

// Format int-quantized, one group per kind of input. Targets are regular expressions that end in
// the layer's name and allow any prefix before it: exact names are mapped to module names in one
// library and not in another. Only keys that every release since 0.11 knows.
nlohmann::ordered_json QuantizationConfig(const QuantizedStems& stems);

}  // namespace w8a8
