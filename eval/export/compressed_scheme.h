// How compressed-tensors says what a plan says of a site, and its `quantization_config` for an
// export: which layers are quantized, and how.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "quant/spec.h"
#include "runtime/base/enum_names.h"

namespace w8a8 {

// How codes lie in the file: one to a byte (P.weight), or in 32-bit words (P.weight_packed).
enum class CompressedFormat : uint8_t { kIntQuantized, kPackQuantized };

template <>
inline constexpr auto kNamesOf<CompressedFormat> =
    std::to_array<std::string_view>({"int-quantized", "pack-quantized"});

// What layers of one config group have in common; static scales stand beside each layer's codes.
struct CompressedScheme {
  CompressedFormat format = CompressedFormat::kIntQuantized;
  int num_bits = 8;
  Granularity weight = Granularity::kChannel;
  int64_t weight_group = 0;
  bool weight_symmetric = true;
  bool quantizes_inputs = true;
  Granularity input = Granularity::kToken;
  int64_t input_group = 0;
  bool input_symmetric = true;
  bool quantizes_outputs = false;
  friend auto operator<=>(const CompressedScheme&, const CompressedScheme&) = default;
};

// Of a site that has weights; the plan is normalized. Integer inputs go with codes one to a byte,
// which are what vLLM multiplies; weight-only codes are packed: vLLM takes no others.
CompressedScheme CompressedSchemeOf(const SitePlan& plan);

// Targets of the layers by how they are quantized; the rest stays as it is.
struct QuantizedTargets {
  std::map<CompressedScheme, std::vector<std::string>> by_scheme;
  std::vector<std::string> ignored;  // every other linear layer
};

// One group a scheme, of one format or "mixed-precision". Only keys that every release since 0.11
// knows.
nlohmann::ordered_json QuantizationConfig(const QuantizedTargets& targets);

}  // namespace w8a8
