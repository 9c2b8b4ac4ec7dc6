#include "eval/export/tower_modules.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/ranges.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Words = std::vector<std::string>;

// What transformers calls the same module, in releases 4.57 to 5.24.
struct Synonyms {
  std::string_view families;
  std::array<std::string_view, 3> names;
};
constexpr std::array<Synonyms, 9> kSynonyms = {
    {{"vit deit", {"encoder.layer", "layers"}},
     {"vit deit", {"intermediate.dense", "mlp.fc1"}},
     {"vit deit", {"output.dense", "mlp.fc2"}},
     {"vit deit dinov2", {"attention.attention.query", "attention.q_proj"}},
     {"vit deit dinov2", {"attention.attention.key", "attention.k_proj"}},
     {"vit deit dinov2", {"attention.attention.value", "attention.v_proj"}},
     {"vit deit dinov2", {"attention.output.dense", "attention.o_proj"}},
     {"dinov2", {"mlp.weights_in", "mlp.gate_proj", "mlp.up_proj"}},
     {"dinov2", {"mlp.weights_out", "mlp.down_proj"}}}};

Words SynonymsOf(std::string_view family, const std::string& name) {
  for (const Synonyms& row : kSynonyms) {
    if (row.families.find(family) == std::string_view::npos) continue;
    if (std::count(row.names.begin(), row.names.end(), name) == 0) continue;
    Words names;
    for (const std::string_view synonym : row.names) {
      if (!synonym.empty()) names.emplace_back(synonym);
    }
    return names;
  }
  return {name};
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Words Components(const std::string& dotted) {
  Words parts;
  for (size_t start = 0; start < dotted.size();) {
    const size_t dot = std::min(dotted.find('.', start), dotted.size());
    parts.push_back(dotted.substr(start, dot - start));
    start = dot + 1;
  }
  return parts;
}

// "model.vision_tower.vision_model." is "vision_tower" in all versions; a "vision_model" inside
// another tower was there up to 4.57 only.
std::string TowerNameOf(const std::string& prefix) {
  Words parts = Components(prefix);
  if (parts.size() > 1 && parts.back() == "vision_model" && parts[parts.size() - 2] != "model") {
    parts.pop_back();
  }
  return parts.empty() ? "" : parts.back();
}

std::string Escaped(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// "a", or "(?:a|b)".
std::string OneOf(Words names) {
  for (std::string& name : names) name = Escaped(name);
  return names.size() == 1 ? names.front() : fmt::format("(?:{})", fmt::join(names, "|"));
}

bool EndsWithModule(const std::string& name, const std::string& module) {
  return name == module || name.ends_with("." + module);
}

}  // namespace

TowerModules::TowerModules(std::string_view family, std::string prefix, const Words& layers,
                           const Words& others)
    : family_(family), prefix_(std::move(prefix)), tower_(TowerNameOf(prefix_)) {
  for (const std::string& stem : layers) {
    const Layer& layer = layers_[stem] = Split(stem);
    names_.insert(stem);
    for (const std::string& stack : layer.stacks) {
      for (const std::string& part : layer.parts) {
        const std::string suffix = stack + "." + layer.block + "." + part;
        suffixes_.insert(suffix);
        for (const std::string& before : {prefix_, tower_ + "."}) {
          const std::string name = (before == "." ? "" : before) + suffix;
          names_.insert({name, "model." + name});
        }
      }
    }
  }
  names_tower_ = std::any_of(others.begin(), others.end(),
                             [this](const std::string& name) { return FindsByBlock(name); });
}

TowerModules::Layer TowerModules::Split(const std::string& stem) const {
  W8A8_CHECK(stem.starts_with(prefix_));
  const Words parts = Components(stem.substr(prefix_.size()));
  const auto number = std::find_if(parts.begin(), parts.end(), IsNumber);
  W8A8_CHECK(number != parts.end() && number != parts.begin());
  return {.stacks = SynonymsOf(family_, fmt::format("{}", fmt::join(parts.begin(), number, "."))),
          .block = *number,
          .parts = SynonymsOf(family_, fmt::format("{}", fmt::join(number + 1, parts.end(), ".")))};
}

bool TowerModules::FindsByBlock(const std::string& name) const {
  return std::any_of(suffixes_.begin(), suffixes_.end(),
                     [&](const std::string& suffix) { return EndsWithModule(name, suffix); });
}

bool TowerModules::Holds(const std::string& name) const {
  if (!FindsByBlock(name)) return false;
  if (!names_tower_) return true;
  if (tower_.empty()) return suffixes_.contains(name);
  return name.starts_with(tower_ + ".") || name.find("." + tower_ + ".") != std::string::npos;
}

std::string TowerModules::Head() const {
  if (!names_tower_) return R"((?:.*\.)?)";
  if (tower_.empty()) return "";
  return fmt::format(R"((?:.*\.)?{}\.(?:vision_model\.)?)", Escaped(tower_));
}

std::string TowerModules::Target(const std::string& stem) const {
  const Layer& layer = layers_.at(stem);
  return fmt::format(R"(re:{}{}\.{}\.{}$)", Head(), OneOf(layer.stacks), layer.block,
                     OneOf(layer.parts));
}

std::string TowerModules::TargetInLoneTower(const std::string& stem) const {
  const Layer& layer = layers_.at(stem);
  return fmt::format(R"(re:(?:.*\.)?{}\.{}\.{}$)", OneOf(layer.stacks), layer.block,
                     OneOf(layer.parts));
}

std::string TowerModules::AllTargets() const {
  std::map<std::string, std::set<std::string>> blocks;  // by part
  for (const auto& [stem, layer] : layers_) blocks[OneOf(layer.parts)].insert(layer.block);
  std::map<std::set<std::string>, Words> parts;  // of equal blocks
  for (const auto& [part, numbers] : blocks) parts[numbers].push_back(part);
  Words alternatives;
  for (const auto& [numbers, names] : parts) {
    alternatives.push_back(
        fmt::format(R"((?:{})\.(?:{}))", fmt::join(numbers, "|"), fmt::join(names, "|")));
  }
  W8A8_CHECK(!layers_.empty());
  return fmt::format(R"({}{}\.(?:{})$)", Head(), OneOf(layers_.begin()->second.stacks),
                     fmt::join(alternatives, "|"));
}

}  // namespace w8a8
