// How a folder of codes says that it is run.
#pragma once

#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// The sites of a quantized folder with their own scales, bits, groups and zero points; sites
// without codes are absent. Empty for a model that is not quantized.
Plan StoredPlan(const EncoderWeights& weights, const Graph& graph);

// The plan with the weights that are stored, at sites that are stored as codes and where the plan
// says nothing of the weights: a plan made from granularities runs on any folder of codes.
Plan WithStoredWeights(Plan plan, const EncoderWeights& weights);

}  // namespace w8a8
