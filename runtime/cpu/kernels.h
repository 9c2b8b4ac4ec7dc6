// Kernel sets: the steps whose bits numerics.md fixes, once per instruction set. A set is a table
// of functions; All() lists every set once, best first and `scalar` last, and dispatch, tests and
// benchmarks iterate over it. `scalar` is readable and normative; the others equal it in every bit.
//
// Kernels neither throw nor check; Int8Linear and the backend validate first. All run on the
// calling thread, allocate nothing, and may be called concurrently. Strides count elements.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/quantize_counts.h"
#include "runtime/base/half.h"

namespace w8a8 {

// FP16 rows to codes in the set's own storage.
struct QuantizeRowsArgs {
  const Half* x;
  int64_t x_stride;
  int64_t rows, cols;
  float clip_range;        // per-token: R, > 0 or infinity
  float static_scale;      // per-tensor: the static scale; 0: per-token
  void* codes;             // Kernels::code_bytes each; 64-byte aligned
  int64_t codes_stride;    // a multiple of Kernels::k_multiple; columns past `cols` become code 0
  float* scale;            // [rows]: dynamic, or the static scale repeated
  int32_t* code_sum;       // [rows]: sum of the row's codes; nullptr: not wanted
  QuantizeCounts* counts;  // added to; nullptr: not wanted
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
// scale_w, bias and code_sum_w are readable up to n rounded up to Kernels::n_multiple (zeros).
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

// FP16 or FP32 rows, normalized with the row sums of numerics.md section 2. LayerNorm reads weight
// and bias, RMSNorm weight only; pass ones and zeros where the model has none.
template <class T>
struct NormRowsArgsOf {
  const T* x;
  int64_t x_stride;
  int64_t rows, cols;
  float eps;
  const float* weight;  // [cols]
  const float* bias;    // [cols]
  Half* y;              // may be x
  int64_t y_stride;
};
using NormRowsArgs = NormRowsArgsOf<Half>;
using NormFloatRowsArgs = NormRowsArgsOf<float>;

// One activation function on FP16 rows.
struct ActivationRowsArgs {
  const Half* x;
  int64_t x_stride;
  int64_t rows, cols;
  Half* y;  // may be x
  int64_t y_stride;
};

// stream = fma(layer_scale[c], float(y), float(stream)), rounded to FP16 or kept in FP32.
template <class T>
struct AddResidualArgsOf {
  T* stream;
  int64_t stream_stride;
  const Half* y;
  int64_t y_stride;
  int64_t rows, cols;
  const float* layer_scale;  // [cols]; nullptr: 1
};
using AddResidualArgs = AddResidualArgsOf<Half>;
using AddFloatResidualArgs = AddResidualArgsOf<float>;

struct Kernels {
  std::string_view name;
  // nullptr where this machine can run the set, else the reason as a clause ("the CPU lacks ...").
  const char* (*unusable_reason)();
  int64_t code_bytes;  // of one stored activation code
  int64_t k_multiple;  // code rows are padded to a multiple of this
  int64_t n_multiple;  // per-column vectors are padded to a multiple of this

  void (*quantize_rows)(const QuantizeRowsArgs&);
  void (*unpack_codes)(const UnpackCodesArgs&);
  int64_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack_weights)(const PackWeightsArgs&);
  void (*gemm_s8)(const GemmS8Args&);

  void (*layer_norm_rows)(const NormRowsArgs&);
  void (*rms_norm_rows)(const NormRowsArgs&);
  void (*layer_norm_float_rows)(const NormFloatRowsArgs&);
  void (*rms_norm_float_rows)(const NormFloatRowsArgs&);
  void (*gelu_erf_rows)(const ActivationRowsArgs&);
  void (*gelu_tanh_rows)(const ActivationRowsArgs&);
  void (*quick_gelu_rows)(const ActivationRowsArgs&);
  void (*silu_rows)(const ActivationRowsArgs&);
  void (*add_residual)(const AddResidualArgs&);
  void (*add_float_residual)(const AddFloatResidualArgs&);
  void (*to_float)(const Half* from, float* to, int64_t count);
  void (*to_half)(const float* from, Half* to, int64_t count);

  bool supported() const { return unusable_reason() == nullptr; }
};

// Every set the program was built with, best first, `scalar` last.
std::span<const Kernels* const> All();

// The set of the name `forced`, else the one that W8A8_CPU_ISA names, else the best usable one. A
// forced set is never replaced: BadSetting for a name that no set has, Error for a set that this
// machine cannot run, with the reason.
const Kernels& Select(std::string_view forced);

}  // namespace w8a8
