// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_args.py and
// quant_scheme.py.
#include "runtime/encoder/module_scheme.h"

#include <algorithm>
#include <cctype>
#include <regex>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using nlohmann::json;

constexpr int64_t kMostBits = 64;
constexpr int64_t kPresetGroup = 128;
constexpr const char* kPacked = "pack-quantized";

// "W4A16" and kin are weights in groups of 128, with dynamic inputs where those have 8 bits; "W8A8"
// has a scale for each row (preset_name_to_scheme, quant_scheme.py). Empty: none of integers.
json PresetScheme(const std::string& preset) {
  const json token = {{"num_bits", 8}, {"strategy", "token"}, {"dynamic", true}};
  if (preset == "W8A8" || preset == "INT8") {
    return {{"weights", {{"num_bits", 8}, {"strategy", "channel"}}}, {"input_activations", token}};
  }
  static const std::regex kPattern("W([2-8])A(8|16)(_ASYM)?");
  std::smatch parts;
  if (!std::regex_match(preset, parts, kPattern)) return json::object();
  json scheme = {{"weights",
                  {{"num_bits", std::stoi(parts[1])},
                   {"strategy", "group"},
                   {"group_size", kPresetGroup},
                   {"symmetric", !parts[3].matched}}}};
  if (parts[2] == "8") scheme["input_activations"] = token;
  return scheme;
}

[[noreturn]] void Refuse(const JsonFields& arguments, const StoredCodes& codes,
                         const std::string& what) {
  Fail("{}: '{}', which is said of '{}', {}.", arguments.file(), arguments.place(), codes.tensor,
       what);
}

// compressed-tensors refuses a field that it does not know, too: a misspelt 'input_activations'
// would leave the inputs as they are.
void AllowOnly(const JsonFields& object, std::initializer_list<const char*> keys) {
  JsonFields(object.raw(), fmt::format("{}: '{}'", object.file(), object.place()), "")
      .AllowOnly(keys);
}

void AllowArguments(const JsonFields& arguments) {
  AllowOnly(arguments, {"num_bits", "type", "symmetric", "group_size", "strategy", "dynamic",
                        "block_structure", "actorder", "observer", "observer_kwargs", "scale_dtype",
                        "zp_dtype"});
}

bool AreIntegers(const JsonFields& arguments) { return arguments.Text("type", "int") == "int"; }

int64_t BitsOf(const JsonFields& arguments) { return arguments.Int("num_bits", 8, 1, kMostBits); }

void RequireEightBitIntegers(const JsonFields& arguments, const StoredCodes& codes) {
  AllowArguments(arguments);
  if (AreIntegers(arguments) && BitsOf(arguments) == 8) return;
  Refuse(arguments, codes,
         fmt::format("has {} of {} bits; only 8-bit integers are read",
                     arguments.Text("type", "int"), BitsOf(arguments)));
}

// Where none is stated it follows from the group size.
std::string StrategyOf(const JsonFields& arguments) {
  const int64_t group_size = arguments.Int("group_size", 0, -1, INT64_MAX);
  const char* inferred = group_size > 0 ? "group" : group_size < 0 ? "channel" : "tensor";
  return arguments.Text("strategy", inferred);
}

int64_t GroupSizeOf(const JsonFields& arguments) {
  return arguments.At("group_size").Int(1, INT64_MAX);
}

// Orders that leave the codes where they are; the others come with a weight_g_idx.
void RefuseActivationOrder(const JsonFields& weights, const StoredCodes& codes) {
  const std::optional<JsonFields> order = weights.Find("actorder");
  if (!order || order->raw() == json(false)) return;
  const bool in_place = order->raw() == json("weight") || order->raw() == json("static");
  if (in_place) return;
  Refuse(weights, codes,
         fmt::format("orders the inputs by 'actorder' {}; groups of inputs are read in the order "
                     "of the inputs",
                     order->raw().dump()));
}

WeightSpec WeightsOf(const JsonFields& weights, const StoredCodes& codes) {
  AllowArguments(weights);
  const int64_t bits = BitsOf(weights);
  if (!AreIntegers(weights) || bits < kMinWeightBits || bits > kMaxWeightBits) {
    Refuse(weights, codes,
           fmt::format("has {} of {} bits; integers of {} to {} bits are read",
                       weights.Text("type", "int"), bits, kMinWeightBits, kMaxWeightBits));
  }
  if (weights.Bool("dynamic", false)) {
    Refuse(weights, codes, "is dynamic; codes that are stored are not");
  }
  RefuseActivationOrder(weights, codes);
  WeightSpec spec{.num_bits = static_cast<int>(bits), .symmetric = weights.Bool("symmetric", true)};
  const std::string strategy = StrategyOf(weights);
  if (strategy == "group") {
    spec.granularity = Granularity::kGroup;
    spec.group_size = GroupSizeOf(weights);
  } else if (strategy == "tensor") {
    spec.granularity = Granularity::kTensor;
  } else if (strategy != "channel") {
    Refuse(weights, codes,
           fmt::format("quantizes weights by '{}'; only 'channel', 'group' and 'tensor' are read",
                       strategy));
  }
  return spec;
}

Quantizer InputsOf(const JsonFields& inputs, const StoredCodes& codes) {
  RequireEightBitIntegers(inputs, codes);
  const std::string strategy = StrategyOf(inputs);
  const bool dynamic = inputs.Bool("dynamic", false);
  Quantizer input{.symmetric = inputs.Bool("symmetric", true)};
  if (strategy == "token" && dynamic) return input;
  if (strategy == "tensor" && !dynamic) {
    input.granularity = Granularity::kTensor;
    return input;
  }
  if (strategy == "group" && dynamic && input.symmetric) {
    input.granularity = Granularity::kGroup;
    input.group_size = GroupSizeOf(inputs);
    return input;
  }
  Refuse(inputs, codes,
         fmt::format("quantizes inputs by '{}' ({}, {}); only dynamic 'token', dynamic symmetric "
                     "'group' and static 'tensor' are read",
                     strategy, dynamic ? "dynamic" : "static",
                     input.symmetric ? "symmetric" : "asymmetric"));
}

void CheckOutputs(const JsonFields& outputs, const StoredCodes& codes) {
  RequireEightBitIntegers(outputs, codes);
  const bool read = StrategyOf(outputs) == "tensor" && !outputs.Bool("dynamic", false) &&
                    outputs.Bool("symmetric", true);
  if (!read) {
    Refuse(outputs, codes, "is of outputs; only static symmetric 'tensor' is read for them");
  }
}

}  // namespace

std::string SchemeText(const ModuleScheme& scheme) {
  std::string text = fmt::format("weights of {}, ", SpecText(scheme.weight));
  if (!scheme.input) {
    text += "inputs as they are";
  } else {
    text += fmt::format("inputs {}", NameOf(scheme.input->granularity));
    if (scheme.input->group_size > 0) text += fmt::format(" {}", scheme.input->group_size);
    if (!scheme.input->symmetric) text += " with zero points";
  }
  return text + (scheme.output ? ", outputs quantized" : "");
}

void SpellOutPresets(json& record) {
  const auto groups = record.find("config_groups");
  if (groups == record.end() || !groups->is_object()) return;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_array()) continue;
    std::string preset = name;
    std::ranges::transform(preset, preset.begin(), [](unsigned char c) { return std::toupper(c); });
    json scheme = PresetScheme(preset);
    scheme["targets"] = group;
    group = std::move(scheme);
  }
}

bool MayStore(const JsonFields& group, const std::string& whole_format, const StoredCodes& codes) {
  const std::string format = group.Text("format", whole_format);
  const std::optional<JsonFields> weights = group.Object("weights");
  if (!weights || !AreIntegers(*weights)) return false;
  const bool unsaid = format.empty() || format == "mixed-precision" || format == "fakequant";
  return unsaid || codes.packed == (format == kPacked);
}

ModuleScheme SchemeOfGroup(const JsonFields& group, const StoredCodes& codes) {
  AllowOnly(group, {"targets", "weights", "input_activations", "output_activations", "format"});
  ModuleScheme scheme{.weight = WeightsOf(group.Object("weights").value(), codes)};
  if (const std::optional<JsonFields> inputs = group.Object("input_activations")) {
    scheme.input = InputsOf(*inputs, codes);
  }
  if (const std::optional<JsonFields> outputs = group.Object("output_activations")) {
    CheckOutputs(*outputs, codes);
    scheme.output = true;
  }
  return scheme;
}

}  // namespace w8a8
