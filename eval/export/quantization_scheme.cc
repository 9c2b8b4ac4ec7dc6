#include "eval/export/quantization_scheme.h"

#include <nlohmann/json.hpp>

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

// "re:.*encoder\.layers\.0\.mlp\.fc1$"
std::string Target(const std::string& stem, const std::string& optional_prefix) {
  std::string target = "re:.*";
  const size_t start = stem.starts_with(optional_prefix) ? optional_prefix.size() : 0;
  for (const char c : stem.substr(start)) {
    if (c == '.') target += '\\';
    target += c;
  }
  return target + "$";
}

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

ordered_json QuantizationConfig(const QuantizedStems& stems) {
  ordered_json groups = ordered_json::object();
  for (const auto& [granularity, names] : stems.by_input) {
    ordered_json targets = ordered_json::array();
    for (const std::string& name : names) targets.push_back(Target(name, stems.optional_prefix));
    groups["group_" + std::to_string(groups.size())] = {
        {"targets", targets},
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
          {"ignore", stems.ignored},
          {"config_groups", groups}};
}

}  // namespace w8a8
