// Codes of keys and values for attention with INT8 products (numerics.md section 2), equal in every
// bit to those of the CPU's scalar kernel.
#include <limits>

#include "quant/numerics.h"
#include "runtime/cuda/attention_codes.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kCodeThreads = 128;

// In binary64 over the attended keys, ascending; what is not finite adds 0.
W8A8_DEVICE float MeanOfKeys(const AttentionProblem& problem, const AttentionBlock& block, int d) {
  double sum = 0.0;
  int64_t attended = 0;
  for (int64_t key = 0; key < problem.keys; ++key) {
    if (!IsAttended(problem, block, key)) continue;
    const float value = Widen(Load(&block.k[key * problem.args.k.stride + d]));
    if (IsFiniteBits(value)) sum += double{value};
    ++attended;
  }
  return static_cast<float>(sum / static_cast<double>(attended));
}

W8A8_DEVICE ActivationScale ScaleOfValues(const AttentionProblem& problem,
                                          const AttentionBlock& block, int d) {
  float amax = 0.0f;
  for (int64_t key = 0; key < problem.keys; ++key) {
    const float value = Widen(Load(&block.v[key * problem.args.v.stride + d]));
    if (!IsAttended(problem, block, key) || !IsFiniteBits(value)) continue;
    amax = Abs(value) > amax ? Abs(value) : amax;
  }
  return TokenScale(amax, kInfinity);
}

// A channel's codes of all keys, sixteen at a time.
W8A8_DEVICE void CodeValues(const AttentionProblem& problem, const AttentionBlock& block, int d,
                            float inv_scale, const AttentionCodes& codes) {
  for (int64_t first = 0; first < codes.v_stride; first += 16) {
    Vec16 packed{};
    for (int i = 0; i < 16 && first + i < problem.keys; ++i) {
      const float value = Widen(Load(&block.v[(first + i) * problem.args.v.stride + d]));
      const int8_t code = ActivationCode(value, inv_scale);
      packed.words[i / 4] |= uint32_t{static_cast<uint8_t>(code)} << (8 * (i % 4));
    }
    Store(reinterpret_cast<Vec16*>(&codes.v[d * codes.v_stride + first]), packed);
  }
}

// One thread per image and channel.
W8A8_KERNEL void CodeChannels(AttentionProblem problem) {
  const int64_t channel = BlockIndex() * BlockThreads() + ThreadIndex();
  if (channel >= problem.args.images * problem.args.heads * problem.head_dim) return;
  const int64_t image_head = channel / problem.head_dim;
  const int d = static_cast<int>(channel % problem.head_dim);
  const AttentionBlock block = BlockOf(problem, image_head);
  const AttentionCodes codes = CodesOf(problem, image_head);
  const ActivationScale scale = ScaleOfValues(problem, block, d);
  Store(&codes.mean[d], MeanOfKeys(problem, block, d));
  Store(&codes.v_scale[d], scale.scale);
  CodeValues(problem, block, d, scale.inv_scale, codes);
}

// One warp per image, head and key.
W8A8_KERNEL void CodeKeys(AttentionProblem problem) {
  const int64_t row = BlockIndex() * (BlockThreads() / kWarpLanes) + Warp();
  if (row >= problem.args.images * problem.args.heads * problem.keys) return;
  const int64_t image_head = row / problem.keys, key = row % problem.keys;
  const AttentionCodes codes = CodesOf(problem, image_head);
  const Half* k = BlockOf(problem, image_head).k + key * problem.args.k.stride;
  const float scale =
      CodeRow(k, codes.mean, problem.head_dim, codes.k + key * codes.k_stride, codes.k_stride);
  if (Lane() == 0) Store(&codes.k_scale[key], scale);
}

}  // namespace

size_t Int8AttentionScratchBytes(const AttentionProblem& problem) {
  return static_cast<size_t>(problem.args.images * problem.args.heads * CodesBytes(problem));
}

void LaunchAttentionCodes(Queue queue, const AttentionProblem& problem) {
  const int64_t heads = problem.args.images * problem.args.heads;
  constexpr int64_t kRowsOfBlock = kCodeThreads / kWarpLanes;
  Launch(queue,
         {.blocks = (heads * problem.head_dim + kCodeThreads - 1) / kCodeThreads,
          .threads = kCodeThreads},
         CodeChannels, problem);
  Launch(
      queue,
      {.blocks = (heads * problem.keys + kRowsOfBlock - 1) / kRowsOfBlock, .threads = kCodeThreads},
      CodeKeys, problem);
}

}  // namespace w8a8
