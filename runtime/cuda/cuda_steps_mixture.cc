// The steps of CudaArena around experts. Who runs for which token is the device's choice; how many
// rows an expert has is asked of it, because launches need the number; which they are, because
// whoever watches wants to know whose.
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/mixture_kernels.h"

namespace w8a8 {

void CudaArena::Do(const RouteStep& step) {
  listed_ = kNoSlot;
  LaunchRoute(queue(), {.x = half(step.in),
                        .weight = Vector(step.weight),
                        .key_mask = KeyMask(),
                        .chosen = step.chosen,
                        .renormalized = step.renormalized,
                        .out = floats(step.out)});
}

// The rows of every expert, once for all gathers of a routing; the host learns how many they are.
void CudaArena::ListRouted(SlotId routing) {
  if (listed_ == routing) return;
  const MatView<float> weights = floats(routing);
  LaunchListRouted(queue(), {.routing = weights,
                             .rows = lists_.Reserve(weights.rows * weights.cols),
                             .counts = list_counts_.Reserve(weights.cols)});
  expert_rows_ = list_counts_.ToHost(queue(), weights.cols);
  listed_ = routing;
}

void CudaArena::Do(const GatherStep& step) {
  ListRouted(step.routing);
  W8A8_CHECK(slot(step.routing).tokens == SlotRows::kAll);
  const int64_t tokens = slot(step.routing).rows;
  routed_rows_ = lists_.data() + step.expert * rows(step.routing);
  std::vector<int32_t> of_expert(
      static_cast<size_t>(expert_rows_[static_cast<size_t>(step.expert)]));
  CopyToHost(queue(), of_expert.data(), reinterpret_cast<const std::byte*>(routed_rows_),
             of_expert.size() * sizeof(int32_t));
  std::vector<RowOwner> owners;
  for (const int32_t row : of_expert) {
    owners.push_back({static_cast<int32_t>(row / tokens), static_cast<int32_t>(row % tokens)});
  }
  SetRouted(std::move(owners));
  if (rows(step.out) == 0) return;
  LaunchGatherRows(queue(), half(step.in), routed_rows_, half(step.out));
  Codes* codes = BeginCodes(step.codes, step.out);
  if (codes != nullptr) Quantize(codes, nullptr, nullptr);
}

void CudaArena::Do(const MixStep& step) {
  LaunchMix(queue(), {.in = half(step.in),
                      .rows = routed_rows_,
                      .routing = floats(step.routing),
                      .expert = step.expert,
                      .out = floats(step.out)});
}

void CudaArena::Do(const MixSharedStep& step) {
  LaunchMixShared(
      queue(),
      {.in = half(step.in), .x = half(step.x), .gate = Vector(step.gate), .out = floats(step.out)});
}

}  // namespace w8a8
