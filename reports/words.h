// The words and references of a report: enums with their names, and arms and sites by their place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/precision.h"

namespace w8a8 {

enum class Ship : uint8_t { kUndecided, kYes, kNo };
template <>
inline constexpr auto kNamesOf<Ship> = std::to_array<std::string_view>({"undecided", "yes", "no"});

// What a layer got as its input: the reference's, or the arm's own with the errors before it.
enum class View : uint8_t { kTeacherForced, kPropagated };
template <>
inline constexpr auto kNamesOf<View> = std::to_array<std::string_view>({"teacher_forced",
                                                                        "propagated"});

// How inputs are quantized. kPlan is of an arm only (each site has its own), kFp16 of a site (its
// input is not quantized), kPerGroup too (one scale a row and group of inputs).
enum class InputScaling : uint8_t { kPerToken, kPerTensor, kPlan, kFp16, kPerGroup };
template <>
inline constexpr auto kNamesOf<InputScaling> =
    std::to_array<std::string_view>({"per-token", "per-tensor", "plan", "fp16", "per-group"});

// The part of the chosen plan's quantization that an arm has alone, so that its error is what that
// part costs: numerics.md section 5 splits fp16 - int8. kWeights: inputs and outputs stay FP16.
enum class PlanPart : uint8_t { kWeights };
template <>
inline constexpr auto kNamesOf<PlanPart> = std::to_array<std::string_view>({"weights"});

// A place in Report::arms, and one in Report::site_names. In files both stand as names.
struct ArmRef {
  size_t index = 0;
  auto operator<=>(const ArmRef&) const = default;
};
struct SiteRef {
  size_t index = 0;
  auto operator<=>(const SiteRef&) const = default;
};

// Every site of a report once, in the order in which it was first spoken of.
class SiteNames {
 public:
  SiteRef Add(const std::string& name) {
    const auto [at, is_new] = places_.try_emplace(name, names_.size());
    if (is_new) names_.push_back(name);
    return {at->second};
  }
  const std::string& operator[](SiteRef site) const { return names_.at(site.index); }
  size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_;
  std::map<std::string, size_t> places_;
};

}  // namespace w8a8
