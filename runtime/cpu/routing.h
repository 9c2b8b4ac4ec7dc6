// From a router's logits to the experts of a token and their weights (moe.md section 4, 1 to 3).
#pragma once

#include <cstdint>
#include <span>

namespace w8a8 {

// One token. `logits` [experts], any values: NaN counts as the least binary32 value, and infinities
// are clamped to the range. The `chosen` largest, equal ones by lower index, get their softmax over
// all experts as `weights`, divided by the chosen ones' sum where `renormalized`; the others
// kNotRouted. All sums are binary32, by ascending expert.
struct RoutingRow {
  std::span<float> logits;  // overwritten
  int64_t chosen = 0;       // 1 <= chosen <= experts
  bool renormalized = false;
  std::span<float> weights;
};
void ChooseExperts(const RoutingRow& row);

// 1 / (1 + exp(-v)), by attention's exponential and without overflow.
float Sigmoid(float v);

}  // namespace w8a8
