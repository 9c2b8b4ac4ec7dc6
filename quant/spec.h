// What a plan says about one site, as values. The words are those of compressed-tensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quant/quantizer.h"
#include "quant/transform.h"
#include "quant/weight_codes.h"
#include "runtime/base/precision.h"

namespace w8a8 {

// Codes and biases that a search made for a layer (GPTQ, bias correction). The codes are those of
// the transformed weights.
struct GivenWeights {
  WeightCodes weight;
  std::optional<std::vector<float>> bias = {};  // none: the checkpoint's
  friend bool operator==(const GivenWeights&, const GivenWeights&) = default;
};

// A value that the copies of a plan share, compared by what it holds.
template <class T>
struct Shared {
  std::shared_ptr<const T> value = nullptr;  // nullptr: none
  friend bool operator==(const Shared& a, const Shared& b) {
    return a.value == b.value || (a.value && b.value && *a.value == *b.value);
  }
};

// How one linear layer is run. Equal plans of a layer give equal numbers.
struct SitePlan {
  std::optional<Quantizer> input = Quantizer();     // none: the input stays FP16 (weight-only)
  std::optional<WeightSpec> weight = WeightSpec();  // none: FP16 weights, and no `input` either
  std::optional<Quantizer> output = {};             // static, symmetric; none: stays FP16
  std::vector<float> smoothing = {};  // s per input channel, finite and > 0; empty: none
  std::optional<Rotation> rotation = {};
  bool first_row_twice = false;     // the first row of each image has a second set of codes
  Shared<GivenWeights> given = {};  // none: the weights are quantized as `weight` says
  friend bool operator==(const SitePlan&, const SitePlan&) = default;
};

// Throws Error naming `site` and the field for what no layer of `k` inputs can be run by, at any
// precision: numerics.md section 6 says which parts go together.
void CheckSitePlan(const std::string& site, const SitePlan& plan, int64_t k);

// The plan as a layer of `k` inputs runs it: an operand with one group counts as not grouped.
SitePlan Normalized(SitePlan plan, int64_t k);

// The smaller of the groups of the plan's operands in a layer of `k` inputs, `k` where neither has
// any: the piece of K that has an accumulator of its own. The plan was checked.
int64_t ProductGroup(const SitePlan& plan, int64_t k);

// For each site how it is quantized; an absent site stays FP16. The one value that calibration
// writes and that fake-quant, the INT8 runtime and every exporter read.
struct Plan {
  std::map<std::string, SitePlan> sites;
  friend bool operator==(const Plan&, const Plan&) = default;
};

// "4 bits (per-group 128, with zero points)": for messages.
std::string SpecText(const WeightSpec& spec);

// Whose convention makes codes and computes with them: numerics.md's own (ideal), or a peer's, and
// vLLM's in FP16 or in BF16.
enum class FakeFlavour : uint8_t { kIdeal, kLlmAwq, kVllmStatic, kVllmStaticBf16 };

constexpr bool IsVllmStatic(FakeFlavour flavour) {
  return flavour == FakeFlavour::kVllmStatic || flavour == FakeFlavour::kVllmStaticBf16;
}

template <>
inline constexpr auto kNamesOf<Granularity> =
    std::to_array<std::string_view>({"per-tensor", "per-token", "per-channel", "per-group"});
template <>
inline constexpr auto kNamesOf<FakeFlavour> =
    std::to_array<std::string_view>({"ideal", "llm-awq", "vllm-static", "vllm-static-bf16"});

// In the words of compressed-tensors, and so of plans: "tensor", "token", "channel", "group".
inline std::string_view StrategyOf(Granularity granularity) {
  return NameOf(granularity).substr(std::string_view("per-").size());
}

}  // namespace w8a8
