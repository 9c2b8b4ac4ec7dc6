// Plans in words: what a layer's plan says, and what other systems call a plan of a whole encoder.
#pragma once

#include <optional>
#include <string>

#include "calib/scheme.h"
#include "quant/spec.h"

namespace w8a8 {

// "weights 4 bits per-group 128; input per-token", "weights 8 bits per-channel; input FP16;
// output 8 bits": everything but clip ranges and scales.
std::string LayerText(const SitePlan& plan);

// The scheme that quantizes a site so, clip ranges and static scales aside; none: it has no name.
std::optional<Scheme> SchemeOf(const SitePlan& plan);

// What a plan is called. Of a plan whose sites are quantized in more than one way `scheme` is
// empty, and the other two count the sites of each.
struct PlanWords {
  std::string scheme;              // "w4a8-g128"
  std::string compressed_tensors;  // "pack-quantized; weights int4 group 128 symmetric; …"
  std::string vllm;                // the class of vLLM that runs our export of it, or why none does
};
// Of the sites that the plan quantizes; all are empty where there are none.
PlanWords WordsOf(const Plan& plan);

}  // namespace w8a8
