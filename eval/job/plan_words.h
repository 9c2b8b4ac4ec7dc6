// Plans in words: what a layer's plan says, and what other systems call a plan of a whole encoder.
#pragma once

#include <optional>
#include <string>

#include "calib/scheme.h"
#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

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
  std::string vllm;                // the class of vLLM that runs it, or why none does
};
// Of the sites that the plan quantizes, as they are run and as our export would hold them; all are
// empty where there are none. Where no graph tells the inputs of the sites, groups are taken to
// divide them.
PlanWords WordsOf(const Plan& plan, const Graph* graph = nullptr);
// Of a folder of codes, as they lie there: vLLM may run other formats of equal codes otherwise.
PlanWords WordsOfStored(const EncoderWeights& weights, const Graph& graph);

}  // namespace w8a8
