// The element-wise steps of one kernel set: norms, activation functions, residual, conversions, the
// exponentials of attention and the sums of an error meter. Equal bits in every set; those of the
// steps are fixed by numerics.md section 2.
//
// Kernels neither throw nor check; their callers validated. All run on the calling thread, allocate
// nothing, and may be called concurrently. Strides count elements.
#pragma once

#include <cstdint>

#include "runtime/base/count_rows.h"
#include "runtime/base/half.h"

namespace w8a8 {

// FP16 or FP32 rows, normalized with the row sums of numerics.md. LayerNorm reads weight and bias,
// RMSNorm weight only; pass ones and zeros where the model has none.
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

// x = x * by of FP16 values, rounded once: what a gate lets through.
struct MultiplyRowsArgs {
  Half* x;
  int64_t x_stride;
  const Half* by;
  int64_t by_stride;
  int64_t rows, cols;
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

// y[n] = sum over k of fma(x[k], weight[n, k], .), by the row sums of numerics.md: a router's
// logits of one FP16 row.
struct RowProductsArgs {
  const Half* x;
  int64_t cols;
  const float* weight;  // [count, cols]
  int64_t count;
  float* y;  // [count]
};

constexpr int64_t kSoftmaxLanes = 16;
constexpr int64_t PaddedToSoftmaxLanes(int64_t count) {
  return (count + kSoftmaxLanes - 1) / kSoftmaxLanes * kSoftmaxLanes;
}

// scores[j] = exp(scale * (scores[j] - max over the row)), in place; `sum` is the row's. Element j
// goes into partial sum j mod 16, and those are folded in halves. A row with a NaN or +Inf sums to
// NaN.
struct SoftmaxRowArgs {
  float* scores;  // room for PaddedToSoftmaxLanes(count); those past `count` may be overwritten
  int64_t count;  // >= 1
  float scale;    // > 0
  float* sum;
};

// What an error meter adds up over pairs of finite values, in binary64: element k of a row goes
// into sum k mod 8 of each, max_abs into its largest |actual - expected|.
constexpr int64_t kErrorLanes = 8;
struct ErrorSums {
  double expected_sq[kErrorLanes], actual_sq[kErrorLanes], product[kErrorLanes];
  double error_sq[kErrorLanes], error[kErrorLanes], max_abs[kErrorLanes];
};
struct ErrorSumsArgs {
  const float* expected;
  const float* actual;
  int64_t count;  // a multiple of kErrorLanes
  ErrorSums* sums;
};

struct RowKernels {
  void (*layer_norm)(const NormRowsArgs&);
  void (*rms_norm)(const NormRowsArgs&);
  void (*layer_norm_float)(const NormFloatRowsArgs&);
  void (*rms_norm_float)(const NormFloatRowsArgs&);
  void (*gelu_erf)(const ActivationRowsArgs&);
  void (*gelu_tanh)(const ActivationRowsArgs&);
  void (*quick_gelu)(const ActivationRowsArgs&);
  void (*silu)(const ActivationRowsArgs&);
  void (*multiply)(const MultiplyRowsArgs&);
  void (*add_residual)(const AddResidualArgs&);
  void (*add_float_residual)(const AddFloatResidualArgs&);
  void (*row_products)(const RowProductsArgs&);
  void (*softmax_row)(const SoftmaxRowArgs&);
  void (*add_error_sums)(const ErrorSumsArgs&);
  CountRowsLoop* count_rows;
  HalfConversions half;
};

extern const RowKernels kScalarRowKernels;  // kernels_scalar_rows.cc, and so on
extern const RowKernels kAvx2RowKernels;    // x86-64 only
extern const RowKernels kAvx512RowKernels;  // x86-64 only

}  // namespace w8a8
