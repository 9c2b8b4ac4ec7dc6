// The steps of CudaArena around experts. Who runs for which token is the device's choice; how many
// rows an expert has is asked of it once a gather, because launches need the number.
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/mixture_kernels.h"

namespace w8a8 {

void CudaArena::Do(const RouteStep& step) {
  LaunchRoute(queue(), {.x = half(step.in),
                        .weight = Vector(step.weight),
                        .key_mask = KeyMask(),
                        .chosen = step.chosen,
                        .renormalized = step.renormalized,
                        .out = floats(step.out)});
}

void CudaArena::Do(const GatherStep& step) {
  const MatView<const float> weights = HostFloats(step.routing);
  std::vector<RowOwner> owners;
  std::vector<int32_t> rows_of_expert;
  for (int64_t image = 0; image < inputs().images; ++image) {
    const int64_t first = FirstRow(step.routing, image);
    for (int64_t token = 0; token < RowsOf(step.routing, image); ++token) {
      if (weights.row(first + token)[step.expert] == kNotRouted) continue;
      owners.push_back({static_cast<int32_t>(image), static_cast<int32_t>(token)});
      rows_of_expert.push_back(static_cast<int32_t>(first + token));
    }
  }
  SetRouted(std::move(owners));
  if (rows(step.out) == 0) return;
  CopyToDevice(queue(),
               reinterpret_cast<std::byte*>(
                   routed_rows_.Reserve(static_cast<int64_t>(rows_of_expert.size()))),
               rows_of_expert.data(), rows_of_expert.size() * sizeof(int32_t));
  LaunchGatherRows(queue(), half(step.in), routed_rows_.data(), half(step.out));
  Codes* codes = BeginCodes(step.codes, step.out);
  if (codes != nullptr) Quantize(codes, nullptr, nullptr);
}

void CudaArena::Do(const MixStep& step) {
  LaunchMix(queue(), {.in = half(step.in),
                      .rows = routed_rows_.data(),
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
