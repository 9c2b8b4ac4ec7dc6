#include "eval/export/exported_config.h"

#include <algorithm>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "eval/export/merged_quantization.h"
#include "eval/export/tower_modules.h"
#include "runtime/base/json_fields.h"
#include "runtime/encoder/checkpoint.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// What is read of a VILA tower stands in the config around it; the export has only its own.
void KeepSelection(const fs::path& model_folder, ordered_json* config) {
  const fs::path whole = fs::weakly_canonical(model_folder);
  const fs::path around = whole.parent_path() / "config.json";
  if (whole.filename() != kTowerFolder || !fs::exists(around)) return;
  const auto parsed = ReadJsonObject<ordered_json>(around);
  // With VILA's defaults, because a config without them is that of an encoder alone.
  (*config)["mm_vision_select_layer"] = parsed.value("mm_vision_select_layer", ordered_json(-2));
  (*config)["mm_vision_select_feature"] =
      parsed.value("mm_vision_select_feature", ordered_json("patch"));
}

std::vector<std::string> AllOf(const ExportedLayers& layers) {
  std::vector<std::string> all;
  for (const auto& [scheme, names] : layers.by_scheme) {
    all.insert(all.end(), names.begin(), names.end());
  }
  return all;
}

template <class TargetOf>
QuantizedTargets TargetsOf(const ExportedLayers& layers, const TargetOf& target_of) {
  QuantizedTargets targets;
  for (const auto& [scheme, names] : layers.by_scheme) {
    for (const std::string& name : names) targets.by_scheme[scheme].push_back(target_of(name));
  }
  return targets;
}

// As this tool writes them, and as it wrote them up to 0.1.
std::set<std::string> OwnTargets(const TowerModules& modules, const ExportedLayers& layers,
                                 const std::string& prefix) {
  std::set<std::string> own;
  for (const std::string& name : AllOf(layers)) {
    own.insert({modules.Target(name), modules.TargetInLoneTower(name)});
    for (const std::string& text : {name, name.substr(prefix.size())}) {
      std::string pattern;
      for (const char c : text) {
        if (c == '.') pattern += '\\';
        pattern += c;
      }
      own.insert("re:.*" + pattern + "$");
    }
  }
  return own;
}

// Their groups may name layers that are floats now.
void Ignore(const std::vector<std::string>& floats, ordered_json* quantization) {
  if (floats.empty()) return;
  ordered_json& ignored = (*quantization)["ignore"];
  if (!ignored.is_array()) ignored = ordered_json::array();
  for (const std::string& stem : floats) {
    if (std::find(ignored.begin(), ignored.end(), stem) == ignored.end()) ignored.push_back(stem);
  }
}

}  // namespace

ordered_json ReadSourceConfig(const fs::path& model_folder) {
  auto config = ReadJsonObject<ordered_json>(model_folder / "config.json");
  KeepSelection(model_folder, &config);
  config.erase("transformers_weights");  // another name of the weights' file
  return config;
}

ordered_json ExportedConfig(const ordered_json& source, const fs::path& model_folder,
                            const EncoderConfig& encoder, const ExportedKeys& keys,
                            const ExportedLayers& layers) {
  ordered_json config = keys.tower_only() ? TowerConfig(encoder, source) : source;
  const std::optional<ordered_json> theirs =
      keys.tower_only() ? std::nullopt : FindQuantization(source, model_folder);
  if (layers.by_scheme.empty() && theirs) return config;
  EraseQuantization(&config);
  // A record there comes before the one at the top, for the vision class and for this tool.
  const auto vision = config.find("vision_config");
  if (vision != config.end() && vision->is_object()) EraseQuantization(&*vision);
  if (layers.by_scheme.empty()) return config;

  const TowerModules modules(encoder.family, keys.prefix(), AllOf(layers), layers.others);
  QuantizedTargets targets =
      TargetsOf(layers, [&modules](const std::string& name) { return modules.Target(name); });
  targets.ignored = layers.others;
  ordered_json quantization = QuantizationConfig(targets);
  if (theirs) {
    quantization = MergedQuantization(*theirs, quantization, modules,
                                      OwnTargets(modules, layers, keys.prefix()));
  }
  Ignore(layers.floats, &quantization);
  config["quantization_config"] = quantization;
  if (!keys.nested()) return config;
  config["vision_config"]["quantization_config"] = QuantizationConfig(TargetsOf(
      layers, [&modules](const std::string& name) { return modules.TargetInLoneTower(name); }));
  return config;
}

}  // namespace w8a8
