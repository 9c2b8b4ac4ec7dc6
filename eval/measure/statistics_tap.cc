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
  if (event.counter != nullptr) {
    ObserveCounts(event, extent, &statistics);
  } else {
    Observe(event, extent, &statistics);
  }
  NoteLargest(*event.site, statistics);
}

RowKeys StatisticsTap::KeysOf(const Sample& sample, const Extent& extent) const {
  return RowKeys(seed_, sample.key->image.sha256, sample.key->view * extent.tokens);
}

void StatisticsTap::Observe(const LinearEvent& event, const Extent& extent,
                            SiteStatistics* statistics) const {
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SampleRows rows = RowsOf(event, i);
    statistics->Observe(KeysOf(event.samples[i], extent),
                        event.input.RowRange(rows.first, rows.count), rows.tokens);
    if (observed_ == Observed::kInputs) continue;
    statistics->ObserveOutputs(event.output.RowRange(rows.first, rows.count));
  }
}

void StatisticsTap::ObserveCounts(const LinearEvent& event, const Extent& extent,
                                  SiteStatistics* statistics) const {
  RowCounter& counter = *event.counter;
  statistics->histogram.AddCounted(counter.CountPatterns(event.input_slot));
  if (observed_ == Observed::kInputsAndOutputs) {
    if (!statistics->outputs) statistics->outputs.emplace();
    statistics->outputs->AddCounted(counter.CountPatterns(event.output_slot));
  }
  const RowMoments moments = counter.MomentsOf(event.input_slot);
  const auto channels = static_cast<size_t>(extent.channels);
  const auto per_sample = static_cast<int64_t>(moments.row_absmax.size() /
                                               event.samples.size());  // where all come here
  std::vector<uint64_t> keys_of_rows;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    SampleRows rows{.first = static_cast<int64_t>(i) * per_sample, .count = per_sample};
    if (!event.owners.empty()) rows = RowsOf(event.owners, i);
    const auto count = static_cast<size_t>(rows.count);
    const RowKeys keys = KeysOf(event.samples[i], extent);
    for (size_t r = 0; r < count; ++r) {
      keys_of_rows.push_back(keys(rows.tokens.empty() ? static_cast<int64_t>(r) : rows.tokens[r]));
    }
    const auto image = [&](const auto& values) {
      return std::span(values).subspan(i * channels, channels);
    };
    statistics->ObserveMoments(
        std::span(moments.row_absmax).subspan(static_cast<size_t>(rows.first), count), rows.tokens,
        image(moments.sum), image(moments.sum_sq), image(moments.channel_absmax));
  }
  const std::vector<int32_t> sampled = statistics->rows.MayBeKept(keys_of_rows);
  const Matrix<Half> copies = counter.CopyRows(event.input_slot, sampled);
  for (size_t i = 0; i < sampled.size(); ++i) {
    statistics->rows.Offer(keys_of_rows[static_cast<size_t>(sampled[i])],
                           copies.view().row_span(static_cast<int64_t>(i)));
  }
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
