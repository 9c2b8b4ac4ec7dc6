// The steps of CpuArena around experts: who runs for which token, and the weighted sum of what they
// gave. Row by row, so nothing depends on the batch.
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "quant/exponential.h"
#include "runtime/base/error.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/float_scratch.h"
#include "runtime/routing.h"

namespace w8a8 {

void CpuArena::Do(const ClearStep& step) {
  const MatView<float> out = floats(step.out);
  std::fill_n(out.data, out.rows * out.cols, 0.0f);
}

void CpuArena::RouteRow(const RouteStep& step, std::span<const Half> x, std::span<float> weights) {
  const MatView<float> logits = Room(1, step.experts, &product_);
  kernels_.rows->row_products({.x = x.data(),
                               .cols = static_cast<int64_t>(x.size()),
                               .weight = step.weight->data(),
                               .count = step.experts,
                               .y = logits.data});
  ChooseExperts(RoutingRow<>{.logits = {logits.data},
                             .experts = step.experts,
                             .chosen = step.chosen,
                             .renormalized = step.renormalized,
                             .weights = {weights.data()}});
}

void CpuArena::Do(const RouteStep& step) {
  const MatView<Half> x = half(step.in);
  const MatView<float> weights = floats(step.out);
  const std::span<const uint8_t> keys = inputs().key_mask;
  for (int64_t row = 0; row < x.rows; ++row) {
    if (!keys.empty() && keys[static_cast<size_t>(row)] == 0) {
      std::ranges::fill(weights.row_span(row), kNotRouted);
    } else {
      RouteRow(step, x.row_span(row), weights.row_span(row));
    }
  }
}

void CpuArena::Do(const GatherStep& step) {
  const MatView<float> weights = floats(step.routing);
  std::vector<RowOwner> owners;
  for (int64_t image = 0; image < inputs().images; ++image) {
    const int64_t first = FirstRow(step.routing, image);
    for (int64_t token = 0; token < RowsOf(step.routing, image); ++token) {
      if (weights.row(first + token)[step.expert] == kNotRouted) continue;
      owners.push_back({static_cast<int32_t>(image), static_cast<int32_t>(token)});
    }
  }
  SetRouted(std::move(owners));
  if (rows(step.out) == 0) return;
  Make(step.out, step.codes, [&](int64_t first, int64_t count) {
    const MatView<Half> in = half(step.in);
    const MatView<Half> out = half(step.out);
    for (int64_t row = first; row < first + count; ++row) {
      std::copy_n(in.row(RowOfOwner(step.in, row)), in.cols, out.row(row));
    }
  });
}

int64_t CpuArena::RowOfOwner(SlotId id, int64_t routed_row) const {
  const RowOwner& owner = routed()[static_cast<size_t>(routed_row)];
  return FirstRow(id, owner.sample) + owner.token;
}

// sum = fma(weight, y, sum).
void CpuArena::AddWeighted(float weight, std::span<const Half> y, std::span<float> sum) {
  const auto cols = static_cast<int64_t>(y.size());
  std::fill_n(weight_.Reserve(cols), cols, weight);
  kernels_.rows->add_float_residual({.stream = sum.data(),
                                     .stream_stride = cols,
                                     .y = y.data(),
                                     .y_stride = cols,
                                     .rows = 1,
                                     .cols = cols,
                                     .layer_scale = weight_.data()});
}

void CpuArena::Do(const MixStep& step) {
  const MatView<Half> y = half(step.in);
  for (int64_t row = 0; row < y.rows; ++row) {
    const float weight = floats(step.routing).row(RowOfOwner(step.routing, row))[step.expert];
    AddWeighted(weight, y.row_span(row), floats(step.out).row_span(RowOfOwner(step.out, row)));
  }
}

void CpuArena::Do(const MixSharedStep& step) {
  const MatView<Half> y = half(step.in);
  const MatView<Half> x = half(step.x);
  for (int64_t row = 0; row < y.rows; ++row) {
    float product = 0.0f;
    kernels_.rows->row_products(
        {.x = x.row(row), .cols = x.cols, .weight = step.gate->data(), .count = 1, .y = &product});
    AddWeighted(Sigmoid(product), y.row_span(row), floats(step.out).row_span(row));
  }
}

}  // namespace w8a8
