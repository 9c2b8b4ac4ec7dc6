// The element-wise steps of CudaArena, whose bits numerics.md fixes.
#include "runtime/base/error.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/row_kernels.h"

namespace w8a8 {

void CudaArena::Do(const NormStep& step) {
  Codes* codes = BeginCodes(step.codes, step.out);
  const auto run = [&]<class T>(MatView<T> x) {
    NormArgsOf<T> args{.kind = step.kind,
                       .eps = step.eps,
                       .x = x,
                       .weight = Vector(step.weight),
                       .bias = Vector(step.bias),
                       .y = half(step.out),
                       .codes = FusedCodes(codes)};
    if (step.add) args.add = {half(step.add->y), Vector(step.add->layer_scale)};
    LaunchNorm(queue(), args);
  };
  if (IsFloat(step.in)) {
    run(floats(step.in));
  } else {
    run(half(step.in));
  }
  QuantizeUnlessFused(codes);
}

void CudaArena::Do(const QkNormStep& step) {
  const auto normalize = [&](int64_t first_col, const FloatsPtr& weight) {
    const MatView<Half> x = half(step.in_out).ColRange(first_col, step.width);
    LaunchNorm(
        queue(),
        NormArgs{
            .kind = NormKind::kRmsNorm, .eps = step.eps, .x = x, .weight = Vector(weight), .y = x});
  };
  normalize(step.q_col, step.q_weight);
  normalize(step.k_col, step.k_weight);
}

void CudaArena::Do(const ActivationStep& step) {
  Codes* codes = BeginCodes(step.codes, step.out);
  LaunchActivation(
      queue(),
      {.kind = step.kind, .x = half(step.in), .y = half(step.out), .codes = FusedCodes(codes)});
  QuantizeUnlessFused(codes);
}

void CudaArena::Do(const GateStep& step) {
  Codes* codes = BeginCodes(step.codes, step.out);
  const MatView<Half> x = half(step.in), y = half(step.out);
  LaunchActivation(queue(), {.kind = step.kind,
                             .x = x.ColRange(0, y.cols),
                             .gated = x.ColRange(y.cols, y.cols),
                             .y = y,
                             .codes = FusedCodes(codes)});
  QuantizeUnlessFused(codes);
}

void CudaArena::Do(const AddStep& step) {
  const float* layer_scale = Vector(step.layer_scale);
  if (IsFloat(step.stream)) {
    return LaunchAdd(queue(), AddFloatArgs{floats(step.stream), half(step.y), layer_scale});
  }
  LaunchAdd(queue(), AddArgs{half(step.stream), half(step.y), layer_scale});
}

void CudaArena::Do(const ConvertStep& step) {
  if (!IsFloat(step.in)) return LaunchConvert(queue(), half(step.in), floats(step.out));
  if (!IsFloat(step.out)) return LaunchConvert(queue(), floats(step.in), half(step.out));
  LaunchCopy(queue(), floats(step.in), floats(step.out));
}

void CudaArena::Do(const BroadcastStep& step) {
  LaunchBroadcastRow(queue(), Vector(step.row), half(step.out));
}

void CudaArena::Do(const SelectRowStep& step) {
  LaunchSelectRow(queue(), half(step.in), step.row, half(step.out));
}

void CudaArena::Do(const MeanRowsStep& step) {
  LaunchMeanRows(queue(), half(step.in), step.first_row, half(step.out));
}

void CudaArena::Do(const AverageStep& step) {
  LaunchAverage(queue(), half(step.a), half(step.b), half(step.out));
}

void CudaArena::Do(const ConcatStep& step) {
  LaunchConcat(queue(), half(step.a), half(step.b), half(step.out));
}

void CudaArena::Do(const TanhStep& step) {
  LaunchTanh(queue(), vectors_.TanhTable(), half(step.in), half(step.out));
}

void CudaArena::Do(const ClearStep& step) { LaunchClear(queue(), floats(step.out)); }

}  // namespace w8a8
