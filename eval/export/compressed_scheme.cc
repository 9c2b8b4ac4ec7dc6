// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_args.py and
// quant_scheme.py.
#include "eval/export/compressed_scheme.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

ordered_json Arguments(Granularity granularity, int num_bits, bool symmetric, int64_t group_size) {
  return {{"num_bits", num_bits},
          {"type", "int"},
          {"symmetric", symmetric},
          {"strategy", StrategyOf(granularity)},
          {"dynamic", false},
          {"group_size", group_size > 0 ? ordered_json(group_size) : ordered_json()},
          {"block_structure", nullptr},
          {"actorder", nullptr},
          {"observer", nullptr},
          {"observer_kwargs", ordered_json::object()}};
}

ordered_json WeightArguments(const CompressedScheme& scheme) {
  ordered_json weights =
      Arguments(scheme.weight, scheme.num_bits, scheme.weight_symmetric, scheme.weight_group);
  weights["observer"] = "memoryless_minmax";
  return weights;
}

ordered_json InputArguments(const CompressedScheme& scheme) {
  if (!scheme.quantizes_inputs) return nullptr;
  ordered_json inputs = Arguments(scheme.input, 8, scheme.input_symmetric, scheme.input_group);
  if (scheme.input == Granularity::kTensor) {
    inputs["observer"] = "static_minmax";
  } else {
    inputs["dynamic"] = true;
  }
  return inputs;
}

ordered_json OutputArguments(const CompressedScheme& scheme) {
  if (!scheme.quantizes_outputs) return nullptr;
  ordered_json outputs = Arguments(Granularity::kTensor, 8, /*symmetric=*/true, 0);
  outputs["observer"] = "static_minmax";
  return outputs;
}

// "" where there are several.
std::string_view OneFormat(const QuantizedTargets& targets) {
  if (targets.by_scheme.empty()) return NameOf(CompressedFormat::kIntQuantized);
  const CompressedFormat first = targets.by_scheme.begin()->first.format;
  const bool one = std::ranges::all_of(
      targets.by_scheme, [first](const auto& entry) { return entry.first.format == first; });
  return one ? NameOf(first) : "";
}

}  // namespace

CompressedScheme CompressedSchemeOf(const SitePlan& plan) {
  W8A8_CHECK(plan.weight.has_value());
  CompressedScheme scheme{.num_bits = plan.weight->num_bits,
                          .weight = plan.weight->granularity,
                          .weight_group = plan.weight->group_size,
                          .weight_symmetric = plan.weight->symmetric,
                          .quantizes_inputs = plan.input.has_value(),
                          .quantizes_outputs = plan.output.has_value()};
  if (!plan.input) {
    scheme.format = CompressedFormat::kPackQuantized;
    return scheme;
  }
  scheme.input = plan.input->granularity;
  scheme.input_group = plan.input->group_size;
  scheme.input_symmetric = plan.input->symmetric;
  return scheme;
}

ordered_json QuantizationConfig(const QuantizedTargets& targets) {
  const std::string_view format = OneFormat(targets);
  ordered_json groups = ordered_json::object();
  for (const auto& [scheme, found] : targets.by_scheme) {
    ordered_json& group = groups["group_" + std::to_string(groups.size())];
    group = {{"targets", found},
             {"weights", WeightArguments(scheme)},
             {"input_activations", InputArguments(scheme)},
             {"output_activations", OutputArguments(scheme)}};
    if (format.empty()) group["format"] = NameOf(scheme.format);
  }
  return {{"quant_method", "compressed-tensors"},
          {"version", "0.17.0"},
          {"format", format.empty() ? "mixed-precision" : format},
          {"quantization_status", "compressed"},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"ignore", targets.ignored},
          {"config_groups", groups}};
}

}  // namespace w8a8
