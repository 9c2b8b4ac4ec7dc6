#include "eval/statistics_tap.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

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
    const ImageId& image = (*event.images)[i];
    const RowKeys keys(seed_, image.sha256, image.view * event.rows_per_image);
    statistics.Observe(keys, event.input.RowRange(static_cast<int64_t>(i) * event.rows_per_image,
                                                  event.rows_per_image));
  }
  NoteLargest(*event.site, statistics);
}

void StatisticsTap::NoteLargest(const std::string& site, const SiteStatistics& statistics) {
  const float largest = *std::ranges::max_element(statistics.channel_absmax);
  const std::lock_guard lock(mutex_);
  if (largest <= largest_) return;
  largest_ = largest;
  largest_site_ = site;
}

std::string StatisticsTap::LargestText() const {
  const std::lock_guard lock(mutex_);
  return largest_site_.empty() ? "" : fmt::format("abs-max {:.4g} at {}", largest_, largest_site_);
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
