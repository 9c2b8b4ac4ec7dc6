#include "runtime/encoder/graph_costs.h"

#include <algorithm>

namespace w8a8 {
namespace {

// Of one image; an expert's are as many as it has where the tokens go to all alike.
int64_t Rows(const Graph& graph, SlotId id) {
  const Slot& slot = graph.slot(id);
  if (slot.tokens == SlotRows::kAll) return slot.rows;
  const MixtureConfig& mixture = graph.config.mixture;
  return std::max<int64_t>(1, slot.rows * mixture.chosen / mixture.experts);
}

}  // namespace

int64_t MultiplyAdds(const Graph& graph, const Node& node) {
  switch (node.kind) {
    case NodeKind::kLinear:
      return Rows(graph, node.in) * WeightElements(graph, node);
    case NodeKind::kEmbed:
      return graph.config.patches() * WeightElements(graph, node);
    case NodeKind::kAttention:  // the scores and the weighted sum
      return 2 * graph.slot(node.in).rows * graph.slot(node.in2).rows * graph.config.width;
    default:
      return 0;
  }
}

int64_t WeightElements(const Graph& graph, const Node& node) {
  const EncoderConfig& config = graph.config;
  if (node.kind == NodeKind::kLinear) return graph.slot(node.in).cols * graph.slot(node.out).cols;
  if (node.kind != NodeKind::kEmbed) return 0;
  return config.channels * config.patch * config.patch * graph.slot(node.out).cols;
}

int64_t MultiplyAdds(const Graph& graph) {
  int64_t macs = 0;
  for (const Node& node : graph.nodes) macs += MultiplyAdds(graph, node);
  return macs;
}

int64_t ActivationBytes(const Graph& graph) {
  int64_t bytes = 0;
  for (const Slot& slot : graph.slots) {
    bytes += slot.rows * slot.cols * (slot.storage == SlotStorage::kFloat ? 4 : 2);
  }
  return bytes;
}

}  // namespace w8a8
