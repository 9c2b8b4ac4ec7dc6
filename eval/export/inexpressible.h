// What plans ask for that compressed-tensors has no words for.
#pragma once

#include <cstdint>
#include <string_view>

#include "quant/spec.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// A clause, of several the most telling: "compressed-tensors has no smoothing vectors"; "" where a
// folder can say all of a site's plan. `inputs`: of its layer; 0: not known, and then groups are
// taken to divide them.
std::string_view WhyInexpressible(const SitePlan& plan, int64_t inputs);

// Throws Error with the first sites' names and what a target would compute instead.
void CheckExportable(const Plan& plan, const Graph& graph);

}  // namespace w8a8
