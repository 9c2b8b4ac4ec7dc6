// How a folder of codes says that it is run.
#pragma once

#include <string>

#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// The sites of a quantized folder with their own scales, bits, groups and zero points; sites
// without codes are absent. Empty for a model that is not quantized.
Plan StoredPlan(const EncoderWeights& weights, const Graph& graph);

// The plan with the weights of `stored` (StoredPlan) at its sites, where the plan says nothing of
// the weights: a plan made from granularities runs on any folder of codes.
Plan WithStoredWeights(Plan plan, const Plan& stored);
SitePlan WithStoredWeights(SitePlan plan, const std::string& site, const Plan& stored);

}  // namespace w8a8
