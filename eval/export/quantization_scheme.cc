#include "eval/export/quantization_scheme.h"

#include <nlohmann/json.hpp>

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

ordered_json EightBitSymmetric(const char* strategy) {
  return {{"num_bits", 8},
          {"type", "int"},
          {"symmetric", true},
          {"strategy", strategy},
          {"dynamic", false},
          {"group_size", nullptr},
          {"block_structure", nullptr},
          {"actorder", nullptr},
          {"observer", nullptr},
          {"observer_kwargs", ordered_json::object()}};
}

ordered_json InputScheme(Granularity granularity) {
  ordered_json inputs = EightBitSymmetric(granularity == Granularity::kToken ? "token" : "tensor");
  if (granularity == Granularity::kToken) {
    inputs["dynamic"] = true;
  } else {
    inputs["observer"] = "static_minmax";
  }
  return inputs;
}

ordered_json WeightScheme() {
  ordered_json weights = EightBitSymmetric("channel");
  weights["observer"] = "memoryless_minmax";
  return weights;
}

}  // namespace

ordered_json QuantizationConfig(const QuantizedTargets& targets) {
  ordered_json groups = ordered_json::object();
  for (const auto& [granularity, found] : targets.by_input) {
    groups["group_" + std::to_string(groups.size())] = {
        {"targets", found},
        {"weights", WeightScheme()},
        {"input_activations", InputScheme(granularity)},
        {"output_activations", nullptr}};
  }
  return {{"quant_method", "compressed-tensors"},
          {"version", "0.17.0"},
          {"format", "int-quantized"},
          {"quantization_status", "compressed"},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"ignore", targets.ignored},
          {"config_groups", groups}};
}

}  // namespace w8a8
