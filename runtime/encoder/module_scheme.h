// How the codes of one module are meant: what a group of compressed-tensors says of it, as values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "quant/spec.h"
#include "runtime/base/json_fields.h"

namespace w8a8 {

// The codes of one module, as they lie in the file.
struct StoredCodes {
  std::string module;        // "vision_tower.encoder.layers.0.mlp.fc1"
  std::string tensor;        // of the codes: "<module>.weight" or "<module>.weight_packed"
  bool packed = false;       // several to a word (pack-quantized), not one to a byte
  bool convolution = false;  // not a Linear
};

struct ModuleScheme {
  WeightSpec weight;                    // symmetric: without zero points
  std::optional<Quantizer> input = {};  // none: stays FP16; of a static one scale and zero point
                                        // stand beside the codes
  bool output = false;                  // quantized by a static scale beside the codes
  friend bool operator==(const ModuleScheme&, const ModuleScheme&) = default;
};

// "weights of 4 bits (per-group 32), inputs per-token": for messages.
std::string SchemeText(const ModuleScheme& scheme);

// Groups may be written as a preset and its targets, "W4A16": ["Linear"]: spells them out. Of
// presets of floating-point types no codes are read: they stay without a scheme.
void SpellOutPresets(nlohmann::json& record);

// Whether codes of this group would lie in the file as these do: integers, packed or not.
// `whole_format`: of the record, for groups that state none.
bool MayStore(const JsonFields& group, const std::string& whole_format, const StoredCodes& codes);

// What the group says of these codes. Throws Error naming a field that compressed-tensors has not,
// and the tensor and the field unless they are
// integers of 2 to 8 bits with a scale for each row, group of inputs, or for all; the inputs 8-bit
// integers, per-token or (symmetric) by groups dynamic or per-tensor static, or left alone; the
// outputs symmetric per-tensor static 8-bit integers, or left alone.
ModuleScheme SchemeOfGroup(const JsonFields& group, const StoredCodes& codes);

}  // namespace w8a8
