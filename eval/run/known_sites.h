// The quantizable layers of a graph as plan files know them.
#pragma once

#include <vector>

#include "quant/plan_file.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// In the order of the graph.
std::vector<KnownSite> KnownSites(const Graph& graph);

}  // namespace w8a8
