// What a graph costs, counted from its nodes and slots.
#pragma once

#include <cstdint>

#include "runtime/encoder/graph.h"

namespace w8a8 {

// Multiply-adds of one image: of the products of linear layers, patches and attention. Norms,
// activations and additions are not counted.
int64_t MultiplyAdds(const Graph& graph, const Node& node);
int64_t MultiplyAdds(const Graph& graph);  // of all nodes

// Elements of a node's weight matrix; 0 where it has none.
int64_t WeightElements(const Graph& graph, const Node& node);

// Bytes of all slots of one image.
int64_t ActivationBytes(const Graph& graph);

}  // namespace w8a8
