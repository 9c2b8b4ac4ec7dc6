#include "runtime/encoder/graph_costs.h"

namespace w8a8 {

int64_t MultiplyAdds(const Graph& graph, const Node& node) {
  switch (node.kind) {
    case NodeKind::kLinear:
      return graph.slot(node.in).rows * WeightElements(graph, node);
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

int64_t ActivationBytes(const Graph& graph) {
  int64_t bytes = 0;
  for (const Slot& slot : graph.slots) {
    bytes += slot.rows * slot.cols * (slot.storage == SlotStorage::kFloat ? 4 : 2);
  }
  return bytes;
}

}  // namespace w8a8
