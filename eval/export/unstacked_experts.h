// Experts that a checkpoint has in one tensor for all of them, as the modules that they get in an
// export: compressed-tensors has a scale for the rows of one layer, and a name for each layer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// What one module has of a tensor of all experts, in the tensor's own dtype.
struct UnstackedTensor {
  std::string site;    // canonical: "blocks.1.mlp.experts.3.fc1"
  std::string stack;   // key of the tensor of all: "....experts.gate_up_proj"
  std::string module;  // LLM-Compressor's name: "....experts.3.up_proj"
  std::string part;    // ".weight", [rows, inputs], or ".bias", [rows]
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape = {};
  SafetensorsWriter::Source source = {};  // reads the mapped stack
};

// Every weight and bias of such experts in the tower at `prefix`; none where each expert has its
// own. `find`: the tensor of a key.
std::vector<UnstackedTensor> UnstackExperts(
    const EncoderConfig& config, const std::string& prefix,
    const std::function<const TensorView&(const std::string&)>& find);

}  // namespace w8a8
