// The flags of `linear` alone: the scheme of its one layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "quant/quantizer.h"
#include "quant/transform.h"
#include "quant/weight_codes.h"
#include "runtime/base/safetensors.h"

namespace CLI {
class App;
}

namespace w8a8 {

struct Options;

// Empty: not given.
struct LinearFlags {
  std::optional<float> input_scale;
  std::optional<int32_t> input_zero_point;
  std::optional<int64_t> input_group_size;
  bool asymmetric = false;  // per-token zero points of the input
  bool weight_only = false;
  std::optional<int64_t> group_size;              // of the weights
  std::optional<Granularity> weight_granularity;  // kChannel or kTensor
  std::optional<WeightConvention> weight_convention;
  std::optional<float> output_scale;
  std::optional<Rotation> rotation;
  bool first_row_twice = false;
  std::optional<Dtype> dtype;  // kF16 or kBF16: what vllm-static computes in
};

// Adds them to `linear`.
void AddLinearFlags(CLI::App& app, Options& o);

// "BLOCK[,mix][,seed=N]". Throws UsageError naming `flag`.
Rotation ParseRotation(std::string_view flag, const std::string& text);

}  // namespace w8a8
