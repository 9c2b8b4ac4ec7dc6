// The INT8 steps of one kernel set: quantize, pack, multiply and dequantize, bound together by the
// layout of codes and packed weights that the set has chosen. numerics.h fixes their bits.
//
// Kernels neither throw nor check; Int8Linear and the backend validate first. All run on the
// calling thread, allocate nothing, and may be called concurrently. Strides count elements.
#pragma once

#include <cstdint>

#include "quant/quantize_counts.h"
#include "runtime/base/half.h"

namespace w8a8 {

// FP16 rows to codes in the set's own storage.
struct QuantizeRowsArgs {
  const Half* x;
  int64_t x_stride;
  int64_t rows, cols;
  float clip_range;           // per-token: R, > 0 or infinity
  const float* static_scale;  // per-tensor: the scale of every row; nullptr: per-token
  void* codes;                // Int8Kernels::code_bytes each; 64-byte aligned
  int64_t codes_stride;       // a multiple of Int8Kernels::k_multiple; codes past `cols` become 0
  float* scale;               // [rows]: dynamic, or the static scale repeated
  int32_t* code_sum;          // [rows]: sum of the row's codes; nullptr: not wanted
  QuantizeCounts* counts;     // added to; nullptr: not wanted, and then not counted
};

// Codes in the set's storage back to int8.
struct UnpackCodesArgs {
  const void* codes;
  int64_t codes_stride;
  int64_t rows, cols;
  int8_t* unpacked;
  int64_t unpacked_stride;
};

// Codes [n, k] row-major, [-128, 127], into the layout of gemm_s8.
struct PackWeightsArgs {
  const int8_t* codes;
  int64_t n, k;
  void* packed;  // packed_bytes(n, k) bytes, 64-byte aligned, zero before the call
};

enum class OutputType : uint8_t { kHalf, kBFloat16, kFloat };

// y[i, j] = fma(float(acc[i, j]) * scale_w[j], scale_x[i], bias[j]), rounded once to `output_type`.
// scale_w, bias and code_sum_w are readable up to n rounded up to Int8Kernels::n_multiple (zeros).
struct GemmS8Args {
  int64_t m, n, k;
  const void* x_codes;  // as quantize_rows left them
  int64_t x_stride;
  const void* packed_weight;
  const float* scale_x;       // [m]
  const float* scale_w;       // [n]
  const float* bias;          // [n]; zeros where the layer has none
  const int32_t* code_sum_w;  // [n]: sum over k of the weight codes
  OutputType output_type;
  void* y;  // [m, n]
  int64_t y_stride;
  int32_t* acc;  // [m, n]: the int32 products; nullptr: not wanted
  int64_t acc_stride;
};

struct Int8Kernels {
  int64_t code_bytes;     // of one stored activation code
  int64_t k_multiple;     // rows of codes are padded to a multiple of this
  int64_t n_multiple;     // per-column vectors are padded to a multiple of this
  bool uses_column_sums;  // gemm_s8 reads code_sum_w

  // What a thread must do before and after calls of gemm_s8, as a tile configuration that the CPU
  // holds per thread; nullptr: nothing. Int8Linear::Multiply calls them.
  void (*begin_worker)();
  void (*end_worker)();

  void (*quantize_rows)(const QuantizeRowsArgs&);
  void (*unpack_codes)(const UnpackCodesArgs&);
  int64_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack_weights)(const PackWeightsArgs&);
  void (*gemm_s8)(const GemmS8Args&);
};

extern const Int8Kernels kScalarInt8Kernels;      // kernels_scalar_int8.cc, and so on
extern const Int8Kernels kAvx2Int8Kernels;        // x86-64 only
extern const Int8Kernels kAvx512VnniInt8Kernels;  // x86-64 only

}  // namespace w8a8
