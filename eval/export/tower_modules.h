// The modules that a tower's layers become in transformers, and the targets that find them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace w8a8 {

// A checkpoint keeps the names of its tensors for ever; what the library calls the module that one
// is loaded into depends on its version and on the class: "vision_model.encoder.layers.0" of a
// SiglipModel is "encoder.layers.0" of its SiglipVisionModel, and ViT's
// "encoder.layer.0.attention.attention.query" is "layers.0.attention.q_proj" since 5.20.
// A target here is a regular expression (Python's re.match, "re:" before it) for all of them.
class TowerModules {
 public:
  // `layers`: checkpoint stems of the exported layers, of a tower at `prefix`. `others`: those of
  // every other linear layer, none of which a target finds: where the names from the block on
  // do not tell them apart, the targets name the tower too.
  TowerModules(std::string_view family, std::string prefix, const std::vector<std::string>& layers,
               const std::vector<std::string>& others);

  // "re:(?:.*\.)?encoder\.layers\.0\.mlp\.fc1$"
  std::string Target(const std::string& stem) const;
  // For the tower loaded alone, where there are no other layers.
  std::string TargetInLoneTower(const std::string& stem) const;
  // One expression (without "re:") for all exported layers.
  std::string AllTargets() const;
  // Whether `name` is, in some version, the module of an exported layer.
  bool Holds(const std::string& name) const;
  // Names that these modules have: for trying out other people's patterns.
  const std::set<std::string>& Names() const { return names_; }

 private:
  struct Layer {
    std::vector<std::string> stacks;  // "encoder.layer", "layers": what is before the number
    std::string block;                // "0"
    std::vector<std::string> parts;   // "attention.attention.query", "attention.q_proj"
  };
  Layer Split(const std::string& stem) const;
  bool FindsByBlock(const std::string& name) const;
  std::string Head() const;

  std::string family_, prefix_;
  std::string tower_;         // the part of the prefix that names it: "vision_tower"; may be empty
  bool names_tower_ = false;  // whether targets must
  std::map<std::string, Layer> layers_;  // by stem
  std::set<std::string> suffixes_;       // "encoder.layers.0.mlp.fc1", of all versions
  std::set<std::string> names_;
};

}  // namespace w8a8
