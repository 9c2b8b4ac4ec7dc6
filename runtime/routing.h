// From a router's logits to the experts of a token and their weights (moe.md section 4, 2 and 3).
// Host and device.
#pragma once

#include <cstdint>
#include <limits>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/encoder/graph.h"

// nvcc looks at both of what a template for host and device may call; only one is ever called.
#if defined(__CUDACC__)
#define W8A8_ANY_CALLEE _Pragma("nv_exec_check_disable")
#else
#define W8A8_ANY_CALLEE
#endif

namespace w8a8 {

// Floats in the host's memory. Where else they are, Get() and Set() do what it takes.
struct PlainFloats {
  float* data;
  float Get(int64_t i) const { return data[i]; }
  void Set(int64_t i, float value) const { data[i] = value; }
};

// One token. `logits` [experts], any values: NaN counts as the least binary32 value, and infinities
// are clamped to the range. The `chosen` largest, equal ones by lower index, get their softmax over
// all experts as `weights`, divided by the chosen ones' sum where `renormalized`; the others
// kNotRouted. All sums are binary32, by ascending expert.
template <class Floats = PlainFloats>
struct RoutingRow {
  Floats logits;  // overwritten
  int64_t experts = 0;
  int64_t chosen = 0;  // 1 <= chosen <= experts
  bool renormalized = false;
  Floats weights;
};

// Clamps the logits and marks the chosen ones with weight 0; the largest. Experts are few: the
// largest of the rest, `chosen` times.
W8A8_ANY_CALLEE
template <class Floats>
W8A8_HOST_DEVICE float MarkChosen(const RoutingRow<Floats>& row) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (int64_t e = 0; e < row.experts; ++e) {
    const float logit = row.logits.Get(e);
    row.logits.Set(e, logit != logit ? -kLargest : Clamp(logit, -kLargest, kLargest));
    row.weights.Set(e, kNotRouted);
  }
  float largest = -kLargest;
  for (int64_t i = 0; i < row.chosen; ++i) {
    int64_t best = row.experts;
    float best_logit = 0.0f;
    for (int64_t e = 0; e < row.experts; ++e) {
      if (row.weights.Get(e) != kNotRouted) continue;
      const float logit = row.logits.Get(e);
      if (best < row.experts && !(logit > best_logit)) continue;
      best = e;
      best_logit = logit;
    }
    row.weights.Set(best, 0.0f);
    if (i == 0) largest = best_logit;
  }
  return largest;
}

W8A8_ANY_CALLEE
template <class Floats>
W8A8_HOST_DEVICE void ChooseExperts(const RoutingRow<Floats>& row) {
  const float largest = MarkChosen(row);
  float sum = 0.0f;
  for (int64_t e = 0; e < row.experts; ++e) {
    const float power = ExpNonPositive(row.logits.Get(e) - largest);
    row.logits.Set(e, power);
    sum += power;
  }
  float chosen_sum = 0.0f;
  for (int64_t e = 0; e < row.experts; ++e) {
    if (row.weights.Get(e) == kNotRouted) continue;
    const float weight = row.logits.Get(e) / sum;
    row.weights.Set(e, weight);
    chosen_sum += weight;
  }
  if (!row.renormalized) return;
  for (int64_t e = 0; e < row.experts; ++e) {
    const float weight = row.weights.Get(e);
    if (weight != kNotRouted) row.weights.Set(e, weight / chosen_sum);
  }
}

}  // namespace w8a8

#undef W8A8_ANY_CALLEE
