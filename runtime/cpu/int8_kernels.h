// The INT8 steps of one kernel set: quantize, pack, multiply and dequantize, bound together by the
// layout of codes and packed weights that the set has chosen. numerics.h fixes their bits.
//
// Kernels neither throw nor check; Int8Linear and the backend validate first. All run on the
// calling thread, allocate nothing, and may be called concurrently. Strides count elements.
//
// K may be cut into groups (ProductGroup in quant/spec.h), each with an accumulator of its own.
// Codes and packed weights hold the groups one after the other, each padded to k_step with zeros:
// group g begins `group_stride` * g inputs from the row's begin. One group is the plain layout.
#pragma once

#include <cstdint>

#include "quant/quantize_counts.h"
#include "runtime/base/half.h"
#include "runtime/output_view.h"

namespace w8a8 {

// ---- quantize ----

// FP16 rows to codes in the set's own storage: symmetric, one scale per row or for all.
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

// Smoothing and rotation of one row, in place: row *= factors (RowFactors in quant/transform.h),
// then Hadamard on blocks, the mix over blocks and the norm, in the order of numerics.md.
struct TransformRowArgs {
  float* row;
  int64_t cols;
  const float* factors;  // [cols]
  int64_t block;         // 0: no rotation
  float mix;             // -2 / q; 0: no mix
  float norm;
};

// Binary32 values of a row's group to codes by any quantizer: p = value * inv_scale; zero_point for
// a NaN p, else clamp(rne(p) + zero_point, lowest, 127).
struct EncodeArgs {
  const float* values;
  int64_t count;
  float inv_scale;
  int32_t zero_point;  // in [lowest, 127]
  int32_t lowest;      // -127 or -128
  void* codes;
  int64_t padded;  // codes from `count` up to here become 0
};

// Codes in the set's storage back to int8.
struct UnpackCodesArgs {
  const void* codes;
  int64_t codes_stride;
  int64_t rows, cols;
  int8_t* unpacked;
  int64_t unpacked_stride;
};

// ---- weights ----

// Codes [n, k] row-major, [-128, 127], into the layout of the products. With groups `k` counts
// their padding, and the codes there are 0.
struct PackWeightsArgs {
  const int8_t* codes;
  int64_t n, k;
  void* packed;  // packed_bytes(n, k) bytes, 64-byte aligned, zero before the call
};

// Packed weights cut into groups. Vectors by column have n rounded up to n_multiple elements
// (zeros), one such vector for each group where [groups, n] is said.
struct GroupedWeights {
  int64_t n, k;  // k: inputs of a row with the padding of its groups
  int64_t groups, group_stride;
  const void* packed;          // pack_weights of [n, k]
  const float* scale;          // [groups, n]; with ScaledBy::kInputs [n]
  const float* bias;           // [n]
  const int32_t* code_sum;     // [groups, n]: sum of the group's codes
  const int32_t* centred_sum;  // [groups, n]: sum of code - zero point, for zero points of rows
  const int32_t* zero_point;   // [groups, n]; nullptr: all 0
};

// ---- products ----

// FP16 values, already stored, through their codes: q = rne(clamp(y / scale, -127, 127)), 0 for
// NaN; y = q * scale, rounded.
struct QuantizeOutputsArgs {
  Half* y;  // in place
  int64_t y_stride;
  int64_t rows, cols;
  float scale, inv_scale;
  int8_t* codes;  // nullptr: not wanted
  int64_t codes_stride;
  uint64_t* saturated;  // added to: values beyond the codes; nullptr: not wanted
};

// Where a product writes its results.
struct StoreArgs {
  OutputType type;
  void* y;  // [m, n], rounded once to `type`
  int64_t y_stride;
  // Set: each tile of FP16 results goes through its codes; y, rows and cols are the tile's.
  const QuantizeOutputsArgs* through = nullptr;
  int32_t* acc = nullptr;  // [groups * m, n], group by group: the exact products; nullptr: unwanted
  int64_t acc_stride = 0;
};

// y[i, j] = fma(float(acc[i, j]) * scale_w[j], scale_x[i], bias[j]).
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
  StoreArgs to;
};

// Whose scale changes from group to group.
enum class ScaledBy : uint8_t { kWeights, kInputs, kBoth };

// acc[g, i, j] = sum over group g of (x - zero_point_x[i]) * (w - zero_point_w[g, j]); t from 0, g
// ascending:
//   kWeights: t = fma(float(acc), scale_w[g, j], t), y = fma(t, scale_x[i], bias[j])
//   kInputs:  t = fma(float(acc), scale_x[i, g], t), y = fma(t, scale_w[j], bias[j])
//   kBoth:    t = fma(float(acc) * scale_x[i, g], scale_w[g, j], t), y = t + bias[j]
// One group with kWeights is GemmS8Args' formula.
struct GemmGroupsArgs {
  int64_t m;
  const GroupedWeights* weight;
  ScaledBy scaled_by;
  const void* x_codes;
  int64_t x_stride;
  const float* scale_x;         // kWeights: [m]; else [m, groups]
  const int32_t* zero_point_x;  // [m]; nullptr: all 0
  const int32_t* code_sum_x;    // [m, groups]
  StoreArgs to;
};

// Weight-only. acc = sum over group g of x * float(w - zero_point_w[g, j]), from 0 with k ascending
// (the products are exact in binary32); t as kWeights above; y = t + bias[j]. Equal bits in every
// set and for every split of the rows.
struct GemmW8Args {
  int64_t m;
  const GroupedWeights* weight;
  const float* x;  // FP16 values in binary32, in the groups' layout, padding zero
  int64_t x_stride;
  StoreArgs to;  // acc: none
};

// The least multiple of `multiple` that is not below `value` >= 0.
constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

struct Int8Kernels {
  int64_t code_bytes;     // of one stored activation code
  int64_t k_step;         // groups of codes are padded to a multiple of this
  int64_t k_multiple;     // rows of codes are padded to a multiple of this
  int64_t n_multiple;     // per-column vectors are padded to a multiple of this
  bool uses_column_sums;  // gemm_s8 reads code_sum_w

  // What a thread must do before and after calls of the products, as a tile configuration that the
  // CPU holds per thread; nullptr: nothing. Int8Linear calls them.
  void (*begin_worker)();
  void (*end_worker)();

  void (*quantize_rows)(const QuantizeRowsArgs&);
  void (*transform_row)(const TransformRowArgs&);
  // min(0, smallest) and max(0, largest) of the finite values; zeros as +0.
  void (*finite_range)(const float* values, int64_t count, float* low, float* high);
  int32_t (*encode)(const EncodeArgs&);  // returns the sum of the codes
  void (*unpack_codes)(const UnpackCodesArgs&);
  int64_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack_weights)(const PackWeightsArgs&);
  void (*gemm_s8)(const GemmS8Args&);
  void (*gemm_groups)(const GemmGroupsArgs&);
  void (*gemm_w8)(const GemmW8Args&);
  void (*quantize_outputs)(const QuantizeOutputsArgs&);
};

extern const Int8Kernels kScalarInt8Kernels;      // kernels_scalar_int8.cc, and so on
extern const Int8Kernels kAvx2Int8Kernels;        // x86-64 only
extern const Int8Kernels kAvxVnniInt8Kernels;     // x86-64 only
extern const Int8Kernels kAvx512VnniInt8Kernels;  // x86-64 only
extern const Int8Kernels kAmxInt8Kernels;         // x86-64 only

}  // namespace w8a8
