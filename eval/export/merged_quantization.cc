// compressed-tensors: github.com/vllm-project/compressed-tensors, quantization/quant_config.py and
// utils/match.py. Names count before patterns, patterns before classes, and 'ignore' before all.
#include "eval/export/merged_quantization.h"

#include <algorithm>
#include <regex>

#include <nlohmann/json.hpp>

#include "eval/export/exported_scope.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/setting.h"
#include "runtime/encoder/module_matcher.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kPattern = "re:";
constexpr const char* kMixed = "mixed-precision";

std::string TextOf(const ordered_json& object, const char* key, const char* fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
}

const ordered_json* ObjectIn(const ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() && !found->empty() ? &*found : nullptr;
}

const ordered_json* QuantizationIn(const ordered_json& config) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const ordered_json* found = ObjectIn(config, key);
    if (found == nullptr) continue;
    const ordered_json* inner = ObjectIn(*found, "quantization_config");
    return inner != nullptr ? inner : found;
  }
  return nullptr;
}

using Fields = JsonView<ordered_json>;

void RequireTexts(const Fields& list) {
  for (const Fields& text : list.Elements()) text.Text();
}

// Throws Error naming the field that is of another kind than compressed-tensors has: parts of the
// record are taken over into another one.
void CheckKinds(const ordered_json& record, const fs::path& file) {
  const Fields fields(record, file.string(), "quantization_config");
  if (const auto ignored = fields.Find("ignore")) RequireTexts(*ignored);
  (void)fields.Text("format", "");
  const std::optional<Fields> groups = fields.Object("config_groups");
  if (!groups) return;
  for (const auto& [name, group] : groups->Members()) {
    if (group.raw().is_array()) {
      RequireTexts(group);
      continue;
    }
    if (!group.raw().is_object()) group.Refuse("an object, or a list for a preset's name");
    if (const auto targets = group.Find("targets")) RequireTexts(*targets);
    (void)group.Text("format", "");
  }
}

// A tower that is the whole model cannot be written alone, without what the config says; CuMo's
// has no class of its own.
[[noreturn]] void RefuseBeside(const ordered_json& config, const fs::path& file,
                               const std::string& what) {
  if (!config.contains("vision_config") || IsTowerOfCumo(config)) {
    Fail(
        "{}: the model is quantized by {}, and its config has no room for that and for "
        "compressed-tensors. Take that out of the folder if no tensor of the model is stored so.",
        file.string(), what);
  }
  FailWith({Setting::kTowerOnly, ""},
           "{}: other parts of the model are quantized by {}, and one config has no room for that "
           "and for the tower's compressed-tensors. The tower alone can be written.",
           file.string(), what);
}

// Whether Python's re.match finds one of the names; "yes" for what ECMAScript cannot read.
bool MayMatch(const std::string& pattern, const std::set<std::string>& names) {
  if (IsTooLong(pattern)) return true;
  try {
    // __polynomial: no backtracking, whose time a file from elsewhere could make endless.
    const std::regex regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
    return std::any_of(names.begin(), names.end(), [&regex](const std::string& name) {
      return std::regex_search(name, regex, std::regex_constants::match_continuous);
    });
  } catch (const std::regex_error&) {
    return true;
  }
}

// The pattern for everything that it matched but our layers. Flags, "(?i)", stay in front.
std::string WithoutLayers(const std::string& pattern, const std::string& layers) {
  size_t flags = 0;
  if (pattern.starts_with("(?") && pattern.find_first_not_of("aiLmsux", 2) == pattern.find(')')) {
    flags = pattern.find(')') + 1;
  }
  return kPattern + pattern.substr(0, flags) + "(?!" + layers + ")(?:" + pattern.substr(flags) +
         ")";
}

// Entries of 'targets' and 'ignore' without our layers.
ordered_json WithoutLayers(const ordered_json& entries, const TowerModules& modules,
                           const std::set<std::string>& own) {
  if (!entries.is_array()) return entries;
  ordered_json kept = ordered_json::array();
  for (const ordered_json& entry : entries) {
    if (!entry.is_string()) {
      kept.push_back(entry);
      continue;
    }
    const auto text = entry.get<std::string>();
    if (own.contains(text)) continue;
    if (!text.starts_with(kPattern)) {
      if (!modules.Holds(text)) kept.push_back(text);
      continue;
    }
    const std::string pattern = text.substr(std::string_view(kPattern).size());
    kept.push_back(MayMatch(pattern, modules.Names()) ? WithoutLayers(pattern, modules.AllTargets())
                                                      : text);
  }
  return kept;
}

// Their groups that have targets left. A preset ("W8A8": [targets]) is a list.
ordered_json OtherGroups(const ordered_json& theirs, const TowerModules& modules,
                         const std::set<std::string>& own) {
  ordered_json groups = ordered_json::object();
  const ordered_json* all = ObjectIn(theirs, "config_groups");
  if (all == nullptr) return groups;
  for (const auto& [name, group] : all->items()) {
    const bool preset = group.is_array();
    const ordered_json targets = group.is_object() && group.contains("targets")
                                     ? group.at("targets")
                                     : (preset ? group : ordered_json::array());
    const ordered_json kept = WithoutLayers(targets, modules, own);
    if (kept.empty() && !targets.empty()) continue;
    groups[name] = preset ? kept : group;
    if (!preset) groups[name]["targets"] = kept;
  }
  return groups;
}

// Groups of several formats each state their own; where that is what `format` says, they do.
void StateFormats(ordered_json* groups, const std::string& format) {
  if (format == kMixed) return;
  for (auto& [name, group] : groups->items()) {
    if (group.is_object() && TextOf(group, "format", "").empty()) group["format"] = format;
  }
}

// "vision_group_0"; the other parts may be a tower that an earlier export named so.
std::string FreeName(const std::string& group, const ordered_json& others) {
  std::string name = "vision_" + group;
  while (others.contains(name)) name.insert(0, "vision_");
  return name;
}

bool AllOfFormat(const ordered_json& groups, const std::string& format) {
  return std::all_of(groups.begin(), groups.end(), [&](const ordered_json& group) {
    return !group.is_object() || TextOf(group, "format", format.c_str()) == format;
  });
}

}  // namespace

std::optional<ordered_json> FindQuantization(const ordered_json& config, const fs::path& folder) {
  const ordered_json* found = QuantizationIn(config);
  for (const char* part : {"text_config", "llm_config"}) {
    const ordered_json* language = ObjectIn(config, part);
    if (found == nullptr && language != nullptr) found = QuantizationIn(*language);
  }
  if (found == nullptr) {
    for (const char* name : {"hf_quant_config.json", "quantize_config.json", "quant_config.json"}) {
      if (fs::exists(folder / name)) RefuseBeside(config, folder / name, "what this file states");
    }
    return std::nullopt;
  }
  const fs::path file = folder / "config.json";
  const std::string method = TextOf(*found, "quant_method", "");
  if (method != "compressed-tensors" && !(method.empty() && found->contains("config_groups"))) {
    RefuseBeside(config, file, method.empty() ? "a method without a name" : "'" + method + "'");
  }
  const std::string status = TextOf(*found, "quantization_status", "compressed");
  if (status != "compressed") {
    RefuseBeside(config, file,
                 "compressed-tensors whose status is '" + status + "', not 'compressed'");
  }
  CheckKinds(*found, file);
  return *found;
}

void EraseQuantization(ordered_json* config) {
  for (const char* part : {"", "text_config", "llm_config"}) {
    if (*part != '\0' && ObjectIn(*config, part) == nullptr) continue;
    ordered_json& place = *part == '\0' ? *config : (*config)[part];
    for (const char* key : {"quantization_config", "compression_config"}) place.erase(key);
  }
}

ordered_json MergedQuantization(const ordered_json& theirs, const ordered_json& ours,
                                const TowerModules& modules, const std::set<std::string>& own) {
  ordered_json others = OtherGroups(theirs, modules, own);
  if (others.empty()) return ours;
  ordered_json merged = theirs;
  ordered_json own_groups = ours.at("config_groups");
  const auto our_format = ours.at("format").get<std::string>();
  const std::string format = TextOf(theirs, "format", our_format.c_str());
  if (format != our_format || !AllOfFormat(others, our_format)) {
    StateFormats(&others, format == kMixed ? our_format : format);
    StateFormats(&own_groups, our_format);
    merged["format"] = kMixed;
  }
  // The first group that matches counts in vLLM: ours, which matches nothing else.
  ordered_json groups = ordered_json::object();
  for (const auto& [name, group] : own_groups.items()) groups[FreeName(name, others)] = group;
  for (const auto& [name, group] : others.items()) groups[name] = group;
  merged["config_groups"] = groups;
  merged["quant_method"] = "compressed-tensors";
  merged["quantization_status"] = "compressed";
  if (theirs.contains("ignore")) merged["ignore"] = WithoutLayers(theirs["ignore"], modules, {});
  return merged;
}

}  // namespace w8a8
