// The element-wise steps as numerics.md defines them, one element after the other.
#include <algorithm>
#include <cmath>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/cpu/row_kernels.h"

namespace w8a8 {
namespace {

float Wide(Half value) { return ToFloat(value); }
float Wide(float value) { return value; }
void Store(float value, Half* to) { *to = ToHalf(value); }
void Store(float value, float* to) { *to = value; }

// ---- norms ----

constexpr int64_t kSums = 256;  // element k goes into partial sum k mod 256

// The fixed tree over the partial sums; overwrites them.
float CombineSums(float (&s)[kSums]) {
  for (const int h : {4, 2, 1}) {
    for (int i = 0; i < kSums; ++i) {
      if (i % 8 < h) s[i] += s[i + h];
    }
  }
  for (const int h : {128, 64, 32, 16, 8}) {
    for (int i = 0; i < h; i += 8) s[i] += s[i + h];
  }
  return s[0];
}

template <class T>
float Mean(const T* x, int64_t cols) {
  float sums[kSums] = {};
  for (int64_t k = 0; k < cols; ++k) sums[k % kSums] += Wide(x[k]);
  return CombineSums(sums) / static_cast<float>(cols);
}

// sum((x - mean)^2) / cols; RMSNorm passes mean 0, which leaves x as it is (x - 0 = x).
template <class T>
float Variance(const T* x, int64_t cols, float mean) {
  float sums[kSums] = {};
  for (int64_t k = 0; k < cols; ++k) {
    const float d = Wide(x[k]) - mean;
    sums[k % kSums] = Fma(d, d, sums[k % kSums]);
  }
  return CombineSums(sums) / static_cast<float>(cols);
}

template <class T>
void LayerNorm(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    const float mean = Mean(x, args.cols);
    const float inv_std = 1.0f / std::sqrt(Variance(x, args.cols, mean) + args.eps);
    for (int64_t c = 0; c < args.cols; ++c) {
      y[c] = ToHalf(Fma((Wide(x[c]) - mean) * inv_std, args.weight[c], args.bias[c]));
    }
  }
}

template <class T>
void RmsNorm(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    const float inv_std = 1.0f / std::sqrt(Variance(x, args.cols, 0.0f) + args.eps);
    for (int64_t c = 0; c < args.cols; ++c) y[c] = ToHalf((Wide(x[c]) * inv_std) * args.weight[c]);
  }
}

// ---- routers ----

void RowProducts(const RowProductsArgs& args) {
  for (int64_t n = 0; n < args.count; ++n) {
    const float* weight = args.weight + n * args.cols;
    float sums[kSums] = {};
    for (int64_t k = 0; k < args.cols; ++k) {
      sums[k % kSums] = Fma(ToFloat(args.x[k]), weight[k], sums[k % kSums]);
    }
    args.y[n] = CombineSums(sums);
  }
}

// ---- activation functions and residual ----

template <float (*Function)(float)>
void Activate(const ActivationRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; ++c) y[c] = ToHalf(Function(ToFloat(x[c])));
  }
}

void MultiplyRows(const MultiplyRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    Half* x = args.x + r * args.x_stride;
    const Half* by = args.by + r * args.by_stride;
    for (int64_t c = 0; c < args.cols; ++c) x[c] = ToHalf(ToFloat(x[c]) * ToFloat(by[c]));
  }
}

template <class T>
void AddResidual(const AddResidualArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    T* stream = args.stream + r * args.stream_stride;
    const Half* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; ++c) {
      const float scale = args.layer_scale != nullptr ? args.layer_scale[c] : 1.0f;
      Store(Residual(scale, ToFloat(y[c]), Wide(stream[c])), stream + c);
    }
  }
}

// ---- attention, error meters, conversions ----

// A NaN may be passed over by the maximum; it survives in its own exponential.
void SoftmaxRow(const SoftmaxRowArgs& args) {
  const float maximum = *std::max_element(args.scores, args.scores + args.count);
  float sums[kSoftmaxLanes] = {};
  for (int64_t j = 0; j < args.count; ++j) {
    args.scores[j] = ExpNonPositive((args.scores[j] - maximum) * args.scale);
    sums[j % kSoftmaxLanes] += args.scores[j];
  }
  for (const int half : {8, 4, 2, 1}) {
    for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  *args.sum = sums[0];
}

void AddErrorSums(const ErrorSumsArgs& args) {
  ErrorSums& sums = *args.sums;
  for (int64_t k = 0; k < args.count; ++k) {
    const int64_t lane = k % kErrorLanes;
    const double expected = args.expected[k], actual = args.actual[k];
    const double error = actual - expected;
    sums.expected_sq[lane] += expected * expected;
    sums.actual_sq[lane] += actual * actual;
    sums.product[lane] += expected * actual;
    sums.error_sq[lane] += error * error;
    sums.error[lane] += error;
    sums.max_abs[lane] = std::max(sums.max_abs[lane], std::fabs(error));
  }
}

void FloatFromHalf(const Half* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToFloat(from[i]);
}

void HalfFromFloat(const float* from, Half* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToHalf(from[i]);
}

}  // namespace

const RowKernels kScalarRowKernels = {
    .layer_norm = LayerNorm<Half>,
    .rms_norm = RmsNorm<Half>,
    .layer_norm_float = LayerNorm<float>,
    .rms_norm_float = RmsNorm<float>,
    .gelu_erf = Activate<GeluErf>,
    .gelu_tanh = Activate<GeluTanh>,
    .quick_gelu = Activate<QuickGelu>,
    .silu = Activate<Silu>,
    .multiply = MultiplyRows,
    .add_residual = AddResidual<Half>,
    .add_float_residual = AddResidual<float>,
    .row_products = RowProducts,
    .softmax_row = SoftmaxRow,
    .add_error_sums = AddErrorSums,
    .count_rows = CountRowsPlainly,
    .half = {.to_float = FloatFromHalf, .to_half = HalfFromFloat},
};

}  // namespace w8a8
