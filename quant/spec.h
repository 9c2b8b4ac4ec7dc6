// What a plan says about one site, as values. The words are those of compressed-tensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quant/quantizer.h"

namespace w8a8 {

// Symmetric, one scale per output row (kChannel).
struct WeightSpec {
  Granularity granularity = Granularity::kChannel;
  int num_bits = 8;  // other than 8: the fake arm only
  friend bool operator==(const WeightSpec&, const WeightSpec&) = default;
};

struct SitePlan {
  Quantizer activation;
  WeightSpec weight;
  std::vector<float> smoothing;  // per input channel; empty: none
  friend bool operator==(const SitePlan&, const SitePlan&) = default;
};

// For each site how it is quantized; an absent site stays FP16. The one value that calibration
// writes and that fake-quant, the INT8 runtime and every exporter read.
struct Plan {
  std::map<std::string, SitePlan> sites;
  friend bool operator==(const Plan&, const Plan&) = default;
};

enum class Precision : uint8_t { kFp16, kFake, kEmulated, kInt8 };
enum class FakeFlavour : uint8_t { kIdeal, kLlmAwq, kVllmStatic };

std::string_view GranularityName(Granularity granularity);  // "per-tensor", "per-token", ...
std::string_view PrecisionName(Precision precision);        // "fp16", "fake", "emulated", "int8"
std::string_view FakeFlavourName(FakeFlavour flavour);      // "ideal", "llm-awq", "vllm-static"

}  // namespace w8a8
