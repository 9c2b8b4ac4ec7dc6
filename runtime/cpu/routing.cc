#include "runtime/cpu/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/cpu/softmax.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

// Marks the chosen ones with weight 0. Experts are few: the largest of the rest, `chosen` times.
void MarkChosen(const RoutingRow& row) {
  std::ranges::fill(row.weights, kNotRouted);
  for (int64_t i = 0; i < row.chosen; ++i) {
    size_t best = row.logits.size();
    for (size_t e = 0; e < row.logits.size(); ++e) {
      if (row.weights[e] != kNotRouted) continue;
      if (best == row.logits.size() || row.logits[e] > row.logits[best]) best = e;
    }
    row.weights[best] = 0.0f;
  }
}

}  // namespace

void ChooseExperts(const RoutingRow& row) {
  for (float& logit : row.logits) {
    logit = std::isnan(logit) ? -kLargest : std::clamp(logit, -kLargest, kLargest);
  }
  MarkChosen(row);
  const float largest = *std::ranges::max_element(row.logits);
  float sum = 0.0f;
  for (float& logit : row.logits) {
    logit = ExpNonPositive(logit - largest);
    sum += logit;
  }
  float chosen_sum = 0.0f;
  for (size_t e = 0; e < row.weights.size(); ++e) {
    if (row.weights[e] == kNotRouted) continue;
    row.weights[e] = row.logits[e] / sum;
    chosen_sum += row.weights[e];
  }
  if (!row.renormalized) return;
  for (float& weight : row.weights) {
    if (weight != kNotRouted) weight /= chosen_sum;
  }
}

float Sigmoid(float v) {
  if (v >= 0.0f) return 1.0f / (1.0f + ExpNonPositive(-v));
  const float power = ExpNonPositive(v);
  return power / (1.0f + power);
}

}  // namespace w8a8
