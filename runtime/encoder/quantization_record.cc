// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_config.py,
// quant_args.py and utils/match.py.
#include "runtime/encoder/quantization_record.h"

#include <algorithm>
#include <map>
#include <optional>
#include <regex>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

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

bool IsPattern(const std::string& target) { return target.starts_with("re:"); }

// "Linear", and vLLM's "ReplicatedLinear" and kin.
bool IsClassOfLinears(const std::string& target) {
  return !IsPattern(target) && target.find('.') == std::string::npos && target.ends_with("Linear");
}

std::vector<std::string> TargetsOf(const json& object) {
  std::vector<std::string> targets;
  const auto found = object.find("targets");
  if (found == object.end() || !found->is_array()) return targets;
  for (const json& target : *found) {
    if (target.is_string()) targets.push_back(target.get<std::string>());
  }
  return targets;
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

// How well targets match a module.
class QuantizationRecord::Matcher {
 public:
  // 0: by name or pattern; 1: by class; 2: not at all.
  int Rank(const json& targeted, const std::string& module) {
    int rank = 2;
    for (const std::string& target : TargetsOf(targeted)) {
      if (MatchesName(target, module)) return 0;
      if (IsClassOfLinears(target)) rank = 1;
    }
    return rank;
  }

 private:
  // Names of modules begin differently in files and in models.
  bool MatchesName(const std::string& target, const std::string& module) {
    if (IsPattern(target)) return MatchesPattern(target.substr(3), module);
    return target == module || module.ends_with("." + target) || target.ends_with("." + module);
  }

  // Python's re.match: anchored at the start.
  bool MatchesPattern(const std::string& pattern, const std::string& module) {
    const std::optional<std::regex>& regex = Compiled(pattern);
    return regex && module.size() <= kLongest &&
           std::regex_search(module, *regex, std::regex_constants::match_continuous);
  }

  // nullopt for one that is none in ECMAScript. An export of ours has a pattern for every layer.
  const std::optional<std::regex>& Compiled(const std::string& pattern) {
    const auto [entry, added] = patterns_.try_emplace(pattern);
    if (!added || pattern.size() > kLongest) return entry->second;
    try {
      // __polynomial: no backtracking, whose time a file from elsewhere could make endless.
      entry->second.emplace(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
    } catch (const std::regex_error&) {
      entry->second.reset();
    }
    return entry->second;
  }

  static constexpr size_t kLongest = 1000;
  std::map<std::string, std::optional<std::regex>> patterns_;
};

QuantizationRecord::QuantizationRecord(const fs::path& folder)
    : matcher_(std::make_shared<Matcher>()) {
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
    record_ = std::make_shared<const json>(inner != nullptr ? *inner : *found);
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
        "{}: '{}' is stored as INT8 codes, but no group of '{}' makes them ({}); only "
        "'int-quantized' W8A8 is read.",
        file_, codes.module, place_, Describe());
  }
  if (groups.size() == 1) return CheckGroup(groups.front(), codes);
  const auto rank = [&](const JsonFields& group) {
    return matcher_->Rank(group.raw(), codes.module);
  };
  return CheckGroup(*std::ranges::min_element(groups, {}, rank), codes);
}

}  // namespace w8a8
