// Float products and attention of one kernel set. numerics.md gives their sums no order; here it is
// one that depends on K alone, so that a row's result depends on no other row: not on the batch,
// the rows of a call or the number of threads.
//
// Kernels neither throw nor check; their callers validated. All run on the calling thread, allocate
// nothing, and may be called concurrently. Strides count elements unless they say bytes.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/precision.h"
#include "runtime/cpu/int8_kernels.h"

namespace w8a8 {

// y[i, j] = sum over k of x[i, k] * weight[j, k], plus bias[j], rounded once to `type`.
struct MultiplyFloatsArgs {
  int64_t m, n, k;
  const void* x;  // rows as load_halves() or load_floats() left them, 64-byte aligned
  int64_t x_stride_bytes;
  const void* packed_weight;
  const float* bias;  // [n]; nullptr: none
  OutputType type;    // kHalf or kFloat
  void* y;
  int64_t y_stride;
  void* scratch;  // scratch_bytes(m, n, k) of the product, 64-byte aligned
};

// One way of multiplying.
struct FloatProduct {
  const char* name;                     // for the facts of a run: "FP32 FMA"
  int64_t (*operand_bytes)(int64_t k);  // of a row, a multiple of 64
  int64_t (*packed_bytes)(int64_t n, int64_t k);
  int64_t rows_at_once;  // the most rows of a call: what stays in the second-level cache
  int64_t (*scratch_bytes)(int64_t m, int64_t n, int64_t k);  // of a call of m rows
  void (*load_halves)(const Half* x, int64_t k, void* operand);
  void (*load_floats)(const float* x, int64_t k, void* operand);
  // weight [n, k] row-major; `packed` is 64-byte aligned.
  void (*pack)(const float* weight, int64_t n, int64_t k, void* packed);
  void (*multiply)(const MultiplyFloatsArgs&);
};

// One head of one image: out = softmax(q k^T / sqrt(head_dim)) v.
struct AttentionHeadArgs {
  const Half* q;  // [queries, head_dim]
  int64_t q_stride;
  const Half* k;  // [keys, head_dim]
  const Half* v;  // [keys, head_dim]
  int64_t kv_stride;
  Half* out;  // [queries, head_dim]
  int64_t out_stride;
  int64_t queries, keys, head_dim;
  const uint8_t* key_mask;  // [keys]: 0 where nobody attends; nullptr: all are attended
  float* probabilities;     // [queries, keys], written; nullptr: not wanted
  int64_t probabilities_stride;
  void* scratch;  // scratch_bytes(keys, head_dim), 64-byte aligned
};

struct AttentionKernel {
  const char* name;  // for the facts of a run
  int64_t (*scratch_bytes)(int64_t keys, int64_t head_dim);
  void (*run_head)(const AttentionHeadArgs&);
};

struct FloatKernels {
  FloatProduct half;  // both operands hold FP16 values
  FloatProduct wide;  // any binary32 values
  const AttentionKernel* attention[kAttentionPrecisions];
};

// Parts of the tables that are compiled for more than the rest.
extern const AttentionKernel kAvx2Int8Attention;  // kernels_avx2_attention.cc, and so on
extern const AttentionKernel kAvxVnniInt8Attention;
extern const AttentionKernel kAvx512Bf16Attention;  // kernels_avx512bf16_floats.cc
extern const AttentionKernel kAvx512VnniInt8Attention;
extern const AttentionKernel kAmxFp16Attention;  // kernels_amx_attention.cc
extern const AttentionKernel kAmxBf16Attention;
extern const AttentionKernel kAmxSplitAttention;  // FP16 values as two BF16 values each
extern const FloatProduct kAmxFp16Product;        // kernels_amx_floats.cc: of FP16 values
extern const FloatProduct kAmxBf16Product;

extern const FloatKernels kScalarFloatKernels;  // kernels_scalar_floats.cc, and so on
extern const FloatKernels kAvx2FloatKernels;    // x86-64 only
extern const FloatKernels kAvx512FloatKernels;  // x86-64 only

}  // namespace w8a8
