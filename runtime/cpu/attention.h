// Softmax attention of one image: FP16 operands, binary32 inside, one rounding to FP16.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/row_kernels.h"

namespace w8a8 {

// Heads lie side by side in the columns: head h is columns [h * head_dim, (h + 1) * head_dim).
struct AttentionArgs {
  MatView<const Half> q;     // [queries, heads * head_dim]
  MatView<const Half> k, v;  // [keys, heads * head_dim]
  MatView<Half> out;         // [queries, heads * head_dim]
  int64_t heads = 0;
  int64_t head_dim = 0;
  std::span<const uint8_t> key_mask = {};  // [keys]: 0 where nobody attends; empty: all attended
  MatView<float> probabilities = {};       // [heads * queries, keys], written; empty: not wanted
};

// One per worker: owns the binary32 copies and the scores of one head.
class Attention {
 public:
  explicit Attention(const RowKernels& kernels) : kernels_(kernels) {}

  // out = softmax(q k^T / sqrt(head_dim)) v per head. Products by `gemm`, one per head: queries of
  // one image are one row block.
  void Run(const AttentionArgs& args, FloatGemm* gemm);

  int64_t scratch_bytes() const;  // constant once the largest shape was seen

 private:
  const RowKernels& kernels_;
  AlignedBuffer<float> q_, k_, v_, scores_, inv_sums_, out_;
};

}  // namespace w8a8
