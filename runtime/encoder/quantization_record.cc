// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_config.py,
// quant_args.py and quant_scheme.py.
#include "runtime/encoder/quantization_record.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/module_matcher.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kCompressedTensors = "compressed-tensors";

std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json* ObjectIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() && !found->empty() ? &*found : nullptr;
}

// Groups may be written as a preset and its targets: "W8A8": ["Linear"]. Only those of W8A8 are
// spelled out; of others (preset_name_to_scheme, quant_scheme.py) no codes are read.
void SpellOutPresets(json& record) {
  const auto groups = record.find("config_groups");
  if (groups == record.end() || !groups->is_object()) return;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_array()) continue;
    std::string preset = name;
    std::ranges::transform(preset, preset.begin(), [](unsigned char c) { return std::toupper(c); });
    json scheme = {{"targets", group}};
    if (preset == "W8A8" || preset == "INT8") {
      scheme["weights"] = {{"num_bits", 8}, {"strategy", "channel"}};
      scheme["input_activations"] = {{"num_bits", 8}, {"strategy", "token"}, {"dynamic", true}};
    }
    group = std::move(scheme);
  }
}

bool AreEightBitIntegers(const JsonFields& arguments) {
  return arguments.Int("num_bits", 8, 1, 64) == 8 && arguments.Text("type", "int") == "int";
}

// Whether codes of this group would lie in the file as int8 with a scale.
bool StoresInt8(const JsonFields& group, const std::string& whole_format) {
  const std::string format = group.Text("format", whole_format);
  const std::optional<JsonFields> weights = group.Object("weights");
  return weights && AreEightBitIntegers(*weights) && format != "pack-quantized";
}

void CheckSymmetric(const JsonFields& arguments, bool zero_point_is_zero) {
  if (AreEightBitIntegers(arguments) && (arguments.Bool("symmetric", true) || zero_point_is_zero)) {
    return;
  }
  Fail("{}: '{}' is not symmetric 8-bit integers; only those are read.", arguments.file(),
       arguments.place());
}

InputScheme CheckInputs(const JsonFields& inputs, bool zero_point_is_zero) {
  CheckSymmetric(inputs, zero_point_is_zero);
  const std::string strategy = inputs.Text("strategy", "tensor");
  const bool dynamic = inputs.Bool("dynamic", false);
  if (strategy == "token" && dynamic) return InputScheme::kDynamicToken;
  if (strategy == "tensor" && !dynamic) return InputScheme::kStaticTensor;
  Fail("{}: '{}' quantizes inputs by '{}' ({}); only dynamic 'token' and static 'tensor' are read.",
       inputs.file(), inputs.place(), strategy, dynamic ? "dynamic" : "static");
}

InputScheme CheckGroup(const JsonFields& group, const StoredCodes& codes) {
  const std::optional<JsonFields> weights = group.Object("weights");
  const std::optional<JsonFields> inputs = group.Object("input_activations");
  if (!weights || !inputs) {
    Fail(
        "{}: '{}', the group of '{}', does not quantize both weights and inputs; only W8A8 is "
        "read.",
        group.file(), group.place(), codes.module);
  }
  if (group.Has("output_activations")) {
    Fail("{}: '{}', the group of '{}', quantizes outputs, which is not supported.", group.file(),
         group.place(), codes.module);
  }
  CheckSymmetric(*weights, codes.zero_weight_point);
  const std::string strategy = weights->Text("strategy", "tensor");
  if (strategy != "channel" && strategy != "tensor") {
    Fail(
        "{}: '{}', the group of '{}', quantizes weights by '{}'; only 'channel' and 'tensor' are "
        "read.",
        group.file(), group.place(), codes.module, strategy);
  }
  return CheckInputs(*inputs, codes.zero_input_point);
}

}  // namespace

QuantizationRecord::QuantizationRecord(const fs::path& folder)
    : matcher_(std::make_shared<ModuleMatcher>()) {
  const fs::path file = folder / "config.json";
  if (fs::exists(file)) {
    const json config = ReadJsonObject(file);
    const json* vision = ObjectIn(config, "vision_config");
    if (vision != nullptr) Take(*vision, file.string());
    Take(config, file.string());
    for (const char* part : {"text_config", "llm_config"}) {
      if (const json* language = ObjectIn(config, part)) Take(*language, file.string());
    }
  }
  const fs::path modelopt = folder / "hf_quant_config.json";
  if (present() || !fs::exists(modelopt)) return;
  const json config = ReadJsonObject(modelopt);
  if (const json* found = ObjectIn(config, "quantization")) {
    record_ = std::make_shared<const json>(*found);
    file_ = modelopt.string();
    place_ = "quantization";
  }
}

// The first one found counts. Older compressed-tensors nested one name in the other.
void QuantizationRecord::Take(const json& config, const std::string& file) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const json* found = present() ? nullptr : ObjectIn(config, key);
    if (found == nullptr) continue;
    const json* inner = ObjectIn(*found, "quantization_config");
    json record = inner != nullptr ? *inner : *found;
    SpellOutPresets(record);
    record_ = std::make_shared<const json>(std::move(record));
    file_ = file;
    place_ = key;
  }
}

JsonFields QuantizationRecord::Fields() const { return {*record_, file_, place_}; }

std::string QuantizationRecord::Describe() const {
  if (!present()) return "";
  std::string text = place_ + " of " + fs::path(file_).filename().string();
  const char* separator = ": ";
  for (const char* key : {"quant_method", "format", "quant_algo"}) {
    const std::string value = TextOf(*record_, key);
    if (value.empty()) continue;
    text += fmt::format("{}{} '{}'", separator, key, value);
    separator = ", ";
  }
  return text;
}

std::vector<JsonFields> QuantizationRecord::Groups() const {
  std::vector<JsonFields> groups;
  const std::optional<JsonFields> all = Fields().Object("config_groups");
  if (!all) return groups;
  for (const auto& [name, group] : all->Members()) {
    if (group.raw().is_object()) groups.push_back(group);
  }
  return groups;
}

std::string QuantizationRecord::GroupNames() const {
  std::string names;
  for (const auto& [name, group] : record_->at("config_groups").items()) {
    names += (names.empty() ? "'" : ", '") + name + "'";
  }
  return names;
}

// A transform of weights is folded into them; one of inputs or outputs is computed at run time.
void QuantizationRecord::RefuseOnlineTransforms(const std::string& module) const {
  const json* transforms = ObjectIn(*record_, "transform_config");
  const json* groups = transforms == nullptr ? nullptr : ObjectIn(*transforms, "config_groups");
  if (groups == nullptr) return;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object() || !group.contains("apply") || !group["apply"].is_array()) continue;
    for (const json& apply : group["apply"]) {
      if (!apply.is_object() || TextOf(apply, "location").starts_with("weight_")) continue;
      if (matcher_->Rank(apply, module) == 2) continue;
      Fail(
          "{}: 'transform_config.config_groups.{}' transforms the {} of '{}' at run time, which is "
          "not supported.",
          file_, name, TextOf(apply, "location"), module);
    }
  }
}

std::string QuantizationRecord::WhyUncovered(const StoredCodes& codes) const {
  if (!present()) return "config.json has no quantization_config";
  if (const std::string by = matcher_->IgnoredBy(*record_, codes.module, file_); !by.empty()) {
    return fmt::format("'{}' in {}.ignore", by, place_);
  }
  const std::vector<JsonFields> groups = Groups();
  if (groups.empty()) return place_ + " has no config_groups";
  for (const JsonFields& group : groups) {
    if (matcher_->MayTarget(group.raw(), codes, file_)) return "";
  }
  return fmt::format("no group of {} targets it", place_);
}

InputScheme QuantizationRecord::SchemeOf(const StoredCodes& codes) const {
  if (!present()) return InputScheme::kUnknown;
  const std::string method = TextOf(*record_, "quant_method");
  if (method != kCompressedTensors && !(method.empty() && record_->contains("config_groups"))) {
    Fail("{}: '{}' is stored as INT8 codes of {}; only those of compressed-tensors are read.",
         file_, codes.module, Describe());
  }
  std::vector<JsonFields> groups = Groups();
  if (groups.empty()) return InputScheme::kUnknown;
  RefuseOnlineTransforms(codes.module);
  const std::string format = TextOf(*record_, "format");
  std::erase_if(groups, [&](const JsonFields& group) { return !StoresInt8(group, format); });
  if (groups.empty()) {
    Fail(
        "{}: '{}' is stored as INT8 codes, but no group of '{}' makes them ({}; groups: {}); only "
        "'int-quantized' W8A8 is read.",
        file_, codes.module, place_, Describe(), GroupNames());
  }
  if (groups.size() == 1) return CheckGroup(groups.front(), codes);
  const auto rank = [&](const JsonFields& group) {
    return matcher_->Rank(group.raw(), codes.module);
  };
  return CheckGroup(*std::ranges::min_element(groups, {}, rank), codes);
}

}  // namespace w8a8
