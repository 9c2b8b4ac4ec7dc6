// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_config.py.
#include "runtime/encoder/quantization_record.h"

#include <algorithm>
#include <utility>

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
    const std::optional<JsonFields> found = JsonFields(config, file, "").Object(key);
    if (present() || !found || found->raw().empty()) continue;
    const json* inner = ObjectIn(found->raw(), "quantization_config");
    json record = inner != nullptr ? *inner : found->raw();
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
    if (!group.raw().is_object()) group.Refuse("an object, or a list for a preset's name");
    groups.push_back(group);
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
  const std::optional<JsonFields> transforms = Fields().Object("transform_config");
  const std::optional<JsonFields> groups =
      transforms ? transforms->Object("config_groups") : std::nullopt;
  if (!groups) return;
  for (const auto& [name, group] : groups->Members()) {
    const std::optional<JsonFields> all = group.Find("apply");
    if (!all) continue;
    for (const JsonFields& apply : all->Elements()) {
      const std::string location = apply.Text("location", "");
      if (location.starts_with("weight_") || matcher_->Rank(apply, module) == 2) continue;
      Fail("{}: '{}' transforms the {} of '{}' at run time, which is not supported.", file_,
           group.place(), location, module);
    }
  }
}

std::string QuantizationRecord::WhyUncovered(const StoredCodes& codes) const {
  if (!present()) return "config.json has no quantization_config";
  if (const std::string by = matcher_->IgnoredBy(Fields(), codes.module); !by.empty()) {
    return fmt::format("'{}' in {}.ignore", by, place_);
  }
  const std::vector<JsonFields> groups = Groups();
  if (groups.empty()) return place_ + " has no config_groups";
  for (const JsonFields& group : groups) {
    if (matcher_->MayTarget(group, codes)) return "";
  }
  return fmt::format("no group of {} targets it", place_);
}

std::optional<ModuleScheme> QuantizationRecord::SchemeOf(const StoredCodes& codes) const {
  if (!present()) return std::nullopt;
  const std::string method = Fields().Text("quant_method", "");
  if (method != kCompressedTensors && !(method.empty() && record_->contains("config_groups"))) {
    Fail("{}: '{}' is stored as codes of {}; only those of compressed-tensors are read.", file_,
         codes.tensor, Describe());
  }
  std::vector<JsonFields> groups = Groups();
  if (groups.empty()) return std::nullopt;
  RefuseOnlineTransforms(codes.module);
  const std::string format = Fields().Text("format", "");
  std::erase_if(groups, [&](const JsonFields& group) { return !MayStore(group, format, codes); });
  if (groups.empty()) {
    Fail(
        "{}: '{}' holds {} codes, but no group of '{}' makes them ({}; groups: {}); integers of "
        "'int-quantized' and 'pack-quantized' are read.",
        file_, codes.tensor, codes.packed ? "packed" : "INT8", place_, Describe(), GroupNames());
  }
  if (groups.size() == 1) return SchemeOfGroup(groups.front(), codes);
  // Where names tell nothing, INT8 codes are more likely of 8 bits than of fewer.
  const auto rank = [&](const JsonFields& group) {
    const bool narrow = !codes.packed && group.At("weights").Int("num_bits", 8, 1, 64) != 8;
    return std::pair(matcher_->Rank(group, codes.module), narrow);
  };
  return SchemeOfGroup(*std::ranges::min_element(groups, {}, rank), codes);
}

}  // namespace w8a8
