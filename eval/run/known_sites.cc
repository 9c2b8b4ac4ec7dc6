#include "eval/run/known_sites.h"

namespace w8a8 {

std::vector<KnownSite> KnownSites(const Graph& graph) {
  std::vector<KnownSite> known;
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    known.push_back({node.site, graph.slot(node.in).cols, graph.slot(node.out).cols});
  }
  return known;
}

}  // namespace w8a8
