// Softmax attention of all images and heads in one launch: FP16 in, one rounding to FP16 out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/base/precision.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

constexpr int64_t kMostHeadDim = 128;

// Heads lie side by side in the columns: head h is columns [h * head_dim, (h + 1) * head_dim).
struct BatchAttentionArgs {
  AttentionPrecision precision = AttentionPrecision::kFp32;
  MatView<const Half> q;     // [images * queries, heads * head_dim]
  MatView<const Half> k, v;  // [images * keys, heads * head_dim]
  MatView<Half> out;         // [images * queries, heads * head_dim]
  int64_t images = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;               // 1 to kMostHeadDim
  const uint8_t* key_mask = nullptr;  // [images * keys]: 0 where nobody attends; null: all attended
  MatView<float> probabilities = {};  // [images * heads * queries, keys], written; null: not wanted
  std::byte* scratch = nullptr;       // AttentionScratchBytes(), 16-byte aligned
};

// What a launch with `args` needs beside its operands; 0 for all but kInt8.
size_t AttentionScratchBytes(const BatchAttentionArgs& args);

// out = softmax(q k^T / sqrt(head_dim)) v per image and head; every image has a key that is
// attended. kInt8 has the bits of numerics.md section 2; the sums of the others have no defined
// order.
void LaunchAttention(Queue queue, const BatchAttentionArgs& args);

}  // namespace w8a8
