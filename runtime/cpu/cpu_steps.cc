// The element-wise steps of CpuArena, whose bits numerics.md fixes: norms, activations, residual,
// conversions.
#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/float_scratch.h"

namespace w8a8 {
namespace {

// `values`, or `count` times `otherwise` where the model has none.
const float* DataOr(const FloatsPtr& values, float otherwise, int64_t count,
                    AlignedBuffer<float>* constants) {
  if (const float* data = DataOrNull(values)) return data;
  float* filled = constants->Reserve(count);
  std::fill_n(filled, count, otherwise);
  return filled;
}

}  // namespace

template <class T>
void CpuArena::Norm(const NormStep& step, const NormVectors& vectors, MatView<T> x,
                    MatView<Half> y) const {
  const NormRowsArgsOf<T> args = {.x = x.data,
                                  .x_stride = x.stride,
                                  .rows = x.rows,
                                  .cols = x.cols,
                                  .eps = step.eps,
                                  .weight = vectors.weight,
                                  .bias = vectors.bias,
                                  .y = y.data,
                                  .y_stride = y.stride};
  const bool layer_norm = step.kind == NormKind::kLayerNorm;
  if constexpr (std::is_same_v<T, float>) {
    return (layer_norm ? kernels_.rows->layer_norm_float : kernels_.rows->rms_norm_float)(args);
  } else {
    return (layer_norm ? kernels_.rows->layer_norm : kernels_.rows->rms_norm)(args);
  }
}

void CpuArena::NormRowRange(const NormStep& step, const NormVectors& vectors, int64_t first,
                            int64_t count) const {
  const MatView<Half> y = half(step.out).RowRange(first, count);
  if (slot(step.in).storage == SlotStorage::kFloat) {
    return Norm(step, vectors, floats(step.in).RowRange(first, count), y);
  }
  Norm(step, vectors, half(step.in).RowRange(first, count), y);
}

void CpuArena::Do(const NormStep& step) {
  const int64_t cols = slot(step.in).cols;
  const NormVectors vectors{DataOr(step.weight, 1.0f, cols, &ones_),
                            DataOr(step.bias, 0.0f, cols, &zeros_)};
  Make(step.out, step.codes, [&](int64_t first, int64_t count) {
    if (step.add) AddRowRange(*step.add, first, count);
    NormRowRange(step, vectors, first, count);
  });
}

void CpuArena::Do(const QkNormStep& step) {
  const MatView<Half> all = half(step.in_out);
  const auto normalize = [&](int64_t first_col, const FloatsPtr& weight) {
    const MatView<Half> x = all.ColRange(first_col, step.width);
    kernels_.rows->rms_norm({.x = x.data,
                             .x_stride = x.stride,
                             .rows = x.rows,
                             .cols = x.cols,
                             .eps = step.eps,
                             .weight = DataOr(weight, 1.0f, x.cols, &ones_),
                             .bias = DataOr({}, 0.0f, x.cols, &zeros_),
                             .y = x.data,
                             .y_stride = x.stride});
  };
  normalize(step.q_col, step.q_weight);
  normalize(step.k_col, step.k_weight);
}

void CpuArena::Do(const ActivationStep& step) {
  Make(step.out, step.codes, [&](int64_t first, int64_t count) {
    Activate(step.kind, half(step.in).RowRange(first, count),
             half(step.out).RowRange(first, count));
  });
}

void CpuArena::Do(const GateStep& step) {
  Make(step.out, step.codes,
       [&](int64_t first, int64_t count) { GateRowRange(step, first, count); });
}

// The product of two FP16 values is exact in binary32, so its one rounding leaves no choice.
void CpuArena::GateRowRange(const GateStep& step, int64_t first, int64_t count) const {
  const MatView<Half> x = half(step.in).RowRange(first, count);
  const MatView<Half> y = half(step.out).RowRange(first, count);
  Activate(step.kind, x.ColRange(0, y.cols), y);
  const MatView<Half> value = x.ColRange(y.cols, y.cols);
  kernels_.rows->multiply({.x = y.data,
                           .x_stride = y.stride,
                           .by = value.data,
                           .by_stride = value.stride,
                           .rows = y.rows,
                           .cols = y.cols});
}

void CpuArena::Activate(ActivationKind kind, MatView<const Half> x, MatView<Half> y) const {
  const ActivationRowsArgs args = {.x = x.data,
                                   .x_stride = x.stride,
                                   .rows = x.rows,
                                   .cols = x.cols,
                                   .y = y.data,
                                   .y_stride = y.stride};
  switch (kind) {
    case ActivationKind::kGeluErf:
      return kernels_.rows->gelu_erf(args);
    case ActivationKind::kGeluTanh:
      return kernels_.rows->gelu_tanh(args);
    case ActivationKind::kQuickGelu:
      return kernels_.rows->quick_gelu(args);
    case ActivationKind::kSilu:
      return kernels_.rows->silu(args);
  }
}

void CpuArena::AddRowRange(const AddStep& step, int64_t first, int64_t count) const {
  const MatView<Half> y = half(step.y).RowRange(first, count);
  const auto args = [&]<class T>(MatView<T> all) {
    const MatView<T> stream = all.RowRange(first, count);
    return AddResidualArgsOf<T>{.stream = stream.data,
                                .stream_stride = stream.stride,
                                .y = y.data,
                                .y_stride = y.stride,
                                .rows = stream.rows,
                                .cols = stream.cols,
                                .layer_scale = DataOrNull(step.layer_scale)};
  };
  if (slot(step.stream).storage == SlotStorage::kFloat) {
    return kernels_.rows->add_float_residual(args(floats(step.stream)));
  }
  kernels_.rows->add_residual(args(half(step.stream)));
}

void CpuArena::Do(const AddStep& step) { AddRowRange(step, 0, rows(step.stream)); }

void CpuArena::Do(const ConvertStep& step) {
  if (slot(step.in).storage == SlotStorage::kFloat) {
    const MatView<float> in = floats(step.in);
    if (slot(step.out).storage == SlotStorage::kFloat) {
      std::copy_n(in.data, in.rows * in.cols, floats(step.out).data);
      return;
    }
    const MatView<Half> out = half(step.out);
    for (int64_t r = 0; r < in.rows; ++r) {
      kernels_.rows->half.to_half(in.row(r), out.row(r), in.cols);
    }
    return;
  }
  const MatView<Half> in = half(step.in);
  const MatView<float> out = floats(step.out);
  for (int64_t r = 0; r < in.rows; ++r) {
    kernels_.rows->half.to_float(in.row(r), out.row(r), in.cols);
  }
}

}  // namespace w8a8
