// The steps around experts (moe.md section 4, 1 to 3 and 5): who runs for which token, and the
// weighted sum of what they gave. Equal in every bit to the CPU's steps. Rows are those of all
// images; a row's index is its place among them.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// A block keeps the logits and weights of at least one row.
constexpr int64_t kMostExperts = 4096;

struct RouteArgs {
  MatView<const Half> x;
  const float* weight = nullptr;      // [experts, x.cols], FP16-rounded
  const uint8_t* key_mask = nullptr;  // [rows]: 0 goes to no expert; null: every row goes
  int64_t chosen = 0;                 // 1 to out.cols
  bool renormalized = false;
  MatView<float> out;  // [rows, experts]: weights, kNotRouted where the expert does not run
};
void LaunchRoute(Queue queue, const RouteArgs& args);

// The rows that each expert got, ascending: rows[expert * routing.rows + i], i < counts[expert].
struct ListRoutedArgs {
  MatView<const float> routing;  // [rows, experts]
  int32_t* rows = nullptr;       // [experts, routing.rows]
  int32_t* counts = nullptr;     // [experts]
};
void LaunchListRouted(Queue queue, const ListRoutedArgs& args);

// out[i] = in[rows[i]].
void LaunchGatherRows(Queue queue, MatView<const Half> in, const int32_t* rows, MatView<Half> out);

// out[rows[i]] = fma(weight, in[i], out[rows[i]]), the weight being routing[rows[i], expert].
struct MixArgs {
  MatView<const Half> in;
  const int32_t* rows = nullptr;  // [in.rows], no two alike
  MatView<const float> routing;
  int64_t expert = 0;
  MatView<float> out;
};
void LaunchMix(Queue queue, const MixArgs& args);

// out = fma(weight, in, out) at all rows; the weight is the sigmoid of the row sum of x and `gate`.
struct MixSharedArgs {
  MatView<const Half> in;
  MatView<const Half> x;
  const float* gate = nullptr;  // [x.cols], FP16-rounded
  MatView<float> out;
};
void LaunchMixShared(Queue queue, const MixSharedArgs& args);

}  // namespace w8a8
