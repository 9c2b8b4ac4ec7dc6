#include "eval/run/single_layer.h"

#include "runtime/base/error.h"
#include "runtime/lower.h"

namespace w8a8 {

Graph SingleLayerGraph(const std::string& site, int64_t rows, int64_t k, int64_t n,
                       SlotStorage out) {
  constexpr SlotId kIn = Lowering::kLayerIn, kOut = Lowering::kLayerOut;
  static_assert(kIn == 0 && kOut == 1);
  Graph graph;
  graph.slots = {Slot{.name = "in", .rows = rows, .cols = k},
                 Slot{.name = "out", .rows = rows, .cols = n, .storage = out}};
  graph.nodes = {
      Node{.kind = NodeKind::kLinear, .site = site, .weight = site, .in = kIn, .out = kOut}};
  graph.stages = {Stage{.first_node = 0, .last_node = 1}};
  return graph;
}

const EncoderWeights& SingleLayerWeights::checkpoint() const {
  CheckFailed("a layer by itself has no checkpoint", __FILE__, __LINE__);
}

}  // namespace w8a8
