#include "eval/statistics_tap.h"

#include <algorithm>
#include <utility>

namespace w8a8 {

StatisticsTap::StatisticsTap(const Graph& graph, int workers, uint64_t seed) : seed_(seed) {
  std::map<std::string, SiteStatistics> empty;
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    const Slot& input = graph.slots[static_cast<size_t>(node.in)];
    empty.emplace(node.site, SiteStatistics(input.cols, input.rows));
  }
  workers_.assign(static_cast<size_t>(std::max(1, workers)), empty);
}

void StatisticsTap::OnLinear(LinearEvent& event) {
  SiteStatistics& statistics = workers_[static_cast<size_t>(event.worker)].at(*event.site);
  for (size_t i = 0; i < event.images->size(); ++i) {
    const RowKeys keys(seed_, (*event.images)[i].sha256);
    statistics.Observe(keys, event.input.RowRange(static_cast<int64_t>(i) * event.rows_per_image,
                                                  event.rows_per_image));
  }
}

std::map<std::string, SiteStatistics> StatisticsTap::Take() {
  std::map<std::string, SiteStatistics> merged = std::move(workers_.front());
  for (size_t w = 1; w < workers_.size(); ++w) {
    for (auto& [site, statistics] : merged) statistics.Merge(workers_[w].at(site));
  }
  workers_.clear();
  return merged;
}

}  // namespace w8a8
