// Softmax attention of one image: FP16 in, one rounding to FP16 out, a head at a time by a kernel
// of the set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/float_kernels.h"

namespace w8a8 {

// Heads lie side by side in the columns: head h is columns [h * head_dim, (h + 1) * head_dim).
struct AttentionArgs {
  MatView<const Half> q;     // [queries, heads * head_dim]
  MatView<const Half> k, v;  // [keys, heads * head_dim], of one stride
  MatView<Half> out;         // [queries, heads * head_dim]
  int64_t heads = 0;
  int64_t head_dim = 0;
  std::span<const uint8_t> key_mask = {};  // [keys]: 0 where nobody attends; empty: all attended
  MatView<float> probabilities = {};       // [heads * queries, keys], written; empty: not wanted
};

// One worker's; grows and never shrinks.
using AttentionScratch = AlignedBuffer<std::byte>;

// out = softmax(q k^T / sqrt(head_dim)) v per head.
void RunAttention(const AttentionKernel& kernel, const AttentionArgs& args,
                  AttentionScratch* scratch);

}  // namespace w8a8
