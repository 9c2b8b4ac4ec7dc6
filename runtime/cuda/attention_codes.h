// Codes of attention with INT8 products: their layout in global memory, and the quantizer of a row.
// Included by kernel files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "quant/numerics.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {

// In global memory, per image and head.
struct AttentionCodes {
  int k_stride;      // head_dim in whole sixteens; codes past head_dim are 0
  int64_t v_stride;  // keys in whole tiles; codes past the keys are 0
  int8_t* k;         // [keys, k_stride]: of k less its mean over the attended keys
  int8_t* v;         // [head_dim, v_stride]
  float* k_scale;    // [keys]
  float* v_scale;    // [head_dim]
  float* mean;       // [head_dim]: of the keys
};

constexpr int64_t RoundedUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
constexpr int KeyCodesStride(int head_dim) { return static_cast<int>(RoundedUp(head_dim, 16)); }

// Of one image and head, whole sixteen bytes.
W8A8_HOST_DEVICE inline int64_t CodesBytes(const AttentionProblem& problem) {
  const int64_t per_key = KeyCodesStride(problem.head_dim) + int64_t{sizeof(float)};
  const int64_t per_channel = RoundedUp(problem.keys, kAttentionTile) + 2 * int64_t{sizeof(float)};
  return RoundedUp(problem.keys * per_key + problem.head_dim * per_channel, 16);
}

W8A8_DEVICE AttentionCodes CodesOf(const AttentionProblem& problem, int64_t image_head) {
  AttentionCodes codes{};
  codes.k_stride = KeyCodesStride(problem.head_dim);
  codes.v_stride = RoundedUp(problem.keys, kAttentionTile);
  std::byte* const first = problem.args.scratch + image_head * CodesBytes(problem);
  codes.k = reinterpret_cast<int8_t*>(first);
  codes.v = codes.k + problem.keys * codes.k_stride;
  codes.k_scale = reinterpret_cast<float*>(codes.v + problem.head_dim * codes.v_stride);
  codes.v_scale = codes.k_scale + problem.keys;
  codes.mean = codes.v_scale + problem.head_dim;
  return codes;
}

// A row of a head, less `mean` if there is one, by all lanes of a warp: codes by the per-token
// quantizer without clip, 0 from head_dim to `stride`. The scale.
W8A8_DEVICE float CodeRow(const Half* row, const float* mean, int head_dim, int8_t* codes,
                          int stride) {
  constexpr int kOfLane = static_cast<int>(kMostHeadDim) / kWarpLanes;
  float values[kOfLane];
  float amax = 0.0f;
  for (int i = 0; i < kOfLane; ++i) {
    const int d = Lane() + i * kWarpLanes;
    values[i] = d < head_dim ? Widen(Load(&row[d])) : 0.0f;
    if (mean != nullptr && d < head_dim) values[i] = values[i] - Load(&mean[d]);
    if (IsFiniteBits(values[i]) && Abs(values[i]) > amax) amax = Abs(values[i]);
  }
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) {
    const float other = ShuffleXor(amax, mask);
    amax = other > amax ? other : amax;
  }
  const ActivationScale scale = TokenScale(amax, std::numeric_limits<float>::infinity());
  for (int i = 0; i < kOfLane; ++i) {
    const int d = Lane() + i * kWarpLanes;
    if (d < stride) Store(&codes[d], ActivationCode(values[i], scale.inv_scale));
  }
  return scale.scale;
}

void LaunchAttentionCodes(Queue queue, const AttentionProblem& problem);

}  // namespace w8a8
