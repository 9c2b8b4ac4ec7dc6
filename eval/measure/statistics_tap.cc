#include "eval/measure/statistics_tap.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace w8a8 {

StatisticsTap::StatisticsTap(const Graph& graph, int workers, uint64_t seed, Observed observed)
    : seed_(seed), observed_(observed), workers_(static_cast<size_t>(std::max(1, workers))) {
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    const Slot& input = graph.slot(node.in);
    extents_[node.site] = {input.cols, input.rows};
  }
}

void StatisticsTap::OnLinear(LinearEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  if (event.stage != worker.stage) Flush(worker);
  worker.stage = event.stage;
  const Extent& extent = extents_.at(*event.site);
  SiteStatistics& statistics =
      worker.sites.try_emplace(*event.site, extent.channels, extent.tokens).first->second;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SampleKey& sample = *event.samples[i].key;
    const SampleRows rows = RowsOf(event, i);
    const RowKeys keys(seed_, sample.image.sha256, sample.view * extent.tokens);
    statistics.Observe(keys, event.input.RowRange(rows.first, rows.count), rows.tokens);
    if (observed_ == Observed::kInputs) continue;
    statistics.ObserveOutputs(event.output.RowRange(rows.first, rows.count));
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

void StatisticsTap::Flush(Worker& worker) {
  const std::lock_guard lock(mutex_);
  for (auto& [site, statistics] : worker.sites) {
    const auto [place, is_new] = all_.try_emplace(site, std::move(statistics));
    if (!is_new) place->second.Merge(statistics);
  }
  worker.sites.clear();
}

std::map<std::string, SiteStatistics> StatisticsTap::Take() {
  for (Worker& worker : workers_) Flush(worker);
  for (const auto& [site, extent] : extents_) {
    const auto [place, is_new] = all_.try_emplace(site, extent.channels, extent.tokens);
    if (is_new && observed_ == Observed::kInputsAndOutputs) place->second.outputs.emplace();
  }
  return std::move(all_);
}

}  // namespace w8a8
