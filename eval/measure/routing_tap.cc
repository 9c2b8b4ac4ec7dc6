#include "eval/measure/routing_tap.h"

#include <algorithm>
#include <span>

#include "runtime/base/error.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {
namespace {

bool IsRouted(float weight) { return weight != kNotRouted; }

bool SameExperts(std::span<const float> expected, std::span<const float> actual) {
  return std::ranges::equal(expected, actual, {}, IsRouted, IsRouted);
}

void CountTokens(MatView<const float> weights, RoutedTokens& seen) {
  seen.of_expert.resize(static_cast<size_t>(weights.cols));
  for (int64_t row = 0; row < weights.rows; ++row) {
    const std::span<const float> of_token = weights.row_span(row);
    seen.tokens += std::ranges::any_of(of_token, IsRouted) ? 1 : 0;
    for (size_t e = 0; e < of_token.size(); ++e) seen.of_expert[e] += IsRouted(of_token[e]) ? 1 : 0;
  }
}

void CountChanged(MatView<const float> expected, MatView<const float> actual,
                  RoutingChange& change) {
  for (int64_t row = 0; row < expected.rows; ++row) {
    const std::span<const float> of_token = expected.row_span(row);
    if (!std::ranges::any_of(of_token, IsRouted)) continue;
    ++change.tokens;
    change.changed += SameExperts(of_token, actual.row_span(row)) ? 0 : 1;
  }
}

}  // namespace

void RoutedTokens::Merge(const RoutedTokens& other) {
  tokens += other.tokens;
  of_expert.resize(std::max(of_expert.size(), other.of_expert.size()));
  for (size_t e = 0; e < other.of_expert.size(); ++e) of_expert[e] += other.of_expert[e];
}

RoutingTap::RoutingTap(int workers) : workers_(static_cast<size_t>(std::max(1, workers))) {}

void RoutingTap::OnRouting(const RoutingEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  const MatView<const float>& weights = event.weights;
  W8A8_CHECK(weights.stride == weights.cols);
  if (event.arm == 0) {
    worker.reference.assign(weights.data, weights.data + weights.rows * weights.cols);
    const int64_t rows = weights.rows / static_cast<int64_t>(event.samples.size());
    for (size_t i = 0; i < event.samples.size(); ++i) {
      const ImageBlock place{event.block, event.samples[i].key->image};
      CountTokens(weights.RowRange(static_cast<int64_t>(i) * rows, rows),
                  worker.result.images[place]);
    }
    return;
  }
  W8A8_CHECK(std::ssize(worker.reference) == weights.rows * weights.cols);
  CountChanged({worker.reference.data(), weights.rows, weights.cols, weights.cols}, weights,
               worker.result.changes[{static_cast<size_t>(event.arm), event.block}]);
}

RoutingTap::Result RoutingTap::Take() {
  Result merged;
  for (Worker& worker : workers_) {
    MergeResult(merged, worker.result);
    worker = {};
  }
  return merged;
}

std::map<int64_t, std::vector<ExpertCoverage>> CoverageOf(const RoutingTap::Result& routing) {
  std::map<int64_t, std::vector<ExpertCoverage>> blocks;
  for (const auto& [place, seen] : routing.images) {
    std::vector<ExpertCoverage>& experts = blocks[place.block];
    experts.resize(std::max(experts.size(), seen.of_expert.size()));
    for (size_t e = 0; e < seen.of_expert.size(); ++e) {
      experts[e].tokens += seen.of_expert[e];
      experts[e].all_tokens += seen.tokens;
      experts[e].images += seen.of_expert[e] > 0 ? 1 : 0;
    }
  }
  return blocks;
}

}  // namespace w8a8
