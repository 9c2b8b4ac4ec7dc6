#include "runtime/cpu/cpu_backend.h"

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

const float* DataOrNull(const FloatsPtr& values) {
  return values == nullptr || values->empty() ? nullptr : values->data();
}

// `values`, or `count` times `otherwise` where the model has none.
const float* DataOr(const FloatsPtr& values, float otherwise, int64_t count,
                    AlignedBuffer<float>* constants) {
  if (const float* data = DataOrNull(values)) return data;
  float* filled = constants->Reserve(count);
  std::fill_n(filled, count, otherwise);
  return filled;
}

void LeaveTrace(Arena& arena, MatView<const int8_t> codes, RowScales input_scale,
                MatView<const int32_t> acc, std::span<const int32_t> weight_code_sum) {
  arena.trace.codes = codes;
  arena.trace.input_scale = std::move(input_scale);
  arena.trace.acc = acc;
  arena.trace.weight_code_sum = weight_code_sum;
}

template <class... Buffers>
int64_t Bytes(const Buffers&... buffers) {
  return ((buffers.capacity() * static_cast<int64_t>(sizeof(*buffers.data()))) + ...);
}

}  // namespace

PackedPtr CpuBackend::PackFloat(MatView<const float> weight) {
  return std::make_shared<FloatWeights>(weight);
}

PackedPtr CpuBackend::PackInt8(const QuantizedLinear& linear) {
  return std::make_shared<Int8Weights>(Int8Linear(linear, kernels_));
}

PackedPtr CpuBackend::PackEmulated(const QuantizedLinear& linear) {
  const PackFloatFn pack = [this](MatView<const float> weight) { return PackFloat(weight); };
  return std::make_shared<EmulatedWeights>(EmulatedLinear(linear, pack));
}

template <class T>
void CpuBackend::Norm(const NormStep& step, MatView<T> x, MatView<Half> y) {
  const NormRowsArgsOf<T> args = {.x = x.data,
                                  .x_stride = x.stride,
                                  .rows = x.rows,
                                  .cols = x.cols,
                                  .eps = step.eps,
                                  .weight = DataOr(step.weight, 1.0f, x.cols, &ones_),
                                  .bias = DataOr(step.bias, 0.0f, x.cols, &zeros_),
                                  .y = y.data,
                                  .y_stride = y.stride};
  const bool layer_norm = step.kind == NormKind::kLayerNorm;
  if constexpr (std::is_same_v<T, float>) {
    return (layer_norm ? kernels_.layer_norm_float_rows : kernels_.rms_norm_float_rows)(args);
  } else {
    return (layer_norm ? kernels_.layer_norm_rows : kernels_.rms_norm_rows)(args);
  }
}

void CpuBackend::NormRowRange(const NormStep& step, Arena& arena, int64_t first, int64_t count) {
  const MatView<Half> y = arena.half(step.out).RowRange(first, count);
  if (arena.storage(step.in) == SlotStorage::kFloat) {
    return Norm(step, arena.floats(step.in).RowRange(first, count), y);
  }
  Norm(step, arena.half(step.in).RowRange(first, count), y);
}

CpuBackend::Codes& CpuBackend::BeginCodes(const CodesOutput& to, SlotId from, const Arena& arena) {
  const auto slot = static_cast<size_t>(to.slot);
  if (slot >= codes_.size()) codes_.resize(slot + 1);
  const MatView<Half> x = arena.half(from);
  PrepareCodes(kernels_, x.rows, x.cols, &codes_[slot].rows);
  codes_[slot].quantizer = to.quantizer;
  return codes_[slot];
}

template <class Produce>
void CpuBackend::Make(SlotId out, const std::optional<CodesOutput>& codes, Arena& arena,
                      const Produce& produce) {
  const MatView<Half> made = arena.half(out);
  if (!codes) return produce(0, made.rows);
  Codes& to = BeginCodes(*codes, out, arena);
  // About 32 KiB of FP16 rows at a time: they stay in the first-level cache.
  const int64_t block = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, made.cols));
  for (int64_t first = 0; first < made.rows; first += block) {
    const int64_t count = std::min(block, made.rows - first);
    produce(first, count);
    QuantizeRowsAt(kernels_, made.RowRange(first, count), to.quantizer, first, &to.rows);
  }
}

void CpuBackend::Run(const NormStep& step, Arena& arena) {
  Make(step.out, step.codes, arena,
       [&](int64_t first, int64_t count) { NormRowRange(step, arena, first, count); });
}

void CpuBackend::Run(const QkNormStep& step, Arena& arena) {
  const MatView<Half> all = arena.half(step.in_out);
  const auto normalize = [&](int64_t first_col, const FloatsPtr& weight) {
    const MatView<Half> x = all.ColRange(first_col, step.width);
    kernels_.rms_norm_rows({.x = x.data,
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

void CpuBackend::Run(const ActivationStep& step, Arena& arena) {
  Make(step.out, step.codes, arena, [&](int64_t first, int64_t count) {
    Activate(step.kind, arena.half(step.in).RowRange(first, count),
             arena.half(step.out).RowRange(first, count));
  });
}

void CpuBackend::Run(const GateStep& step, Arena& arena) {
  Make(step.out, step.codes, arena,
       [&](int64_t first, int64_t count) { GateRowRange(step, arena, first, count); });
}

// The product of two FP16 values is exact in binary32, so its one rounding leaves no choice.
void CpuBackend::GateRowRange(const GateStep& step, Arena& arena, int64_t first, int64_t count) {
  const MatView<Half> x = arena.half(step.in).RowRange(first, count);
  const MatView<Half> y = arena.half(step.out).RowRange(first, count);
  Activate(step.kind, x.ColRange(0, y.cols), y);
  const MatView<Half> value = x.ColRange(y.cols, y.cols);
  for (int64_t row = 0; row < y.rows; ++row) {
    for (int64_t col = 0; col < y.cols; ++col) {
      Half& out = y.row(row)[col];
      out = ToHalf(ToFloat(out) * ToFloat(value.row(row)[col]));
    }
  }
}

void CpuBackend::Activate(ActivationKind kind, MatView<const Half> x, MatView<Half> y) const {
  const ActivationRowsArgs args = {.x = x.data,
                                   .x_stride = x.stride,
                                   .rows = x.rows,
                                   .cols = x.cols,
                                   .y = y.data,
                                   .y_stride = y.stride};
  switch (kind) {
    case ActivationKind::kGeluErf:
      return kernels_.gelu_erf_rows(args);
    case ActivationKind::kGeluTanh:
      return kernels_.gelu_tanh_rows(args);
    case ActivationKind::kQuickGelu:
      return kernels_.quick_gelu_rows(args);
    case ActivationKind::kSilu:
      return kernels_.silu_rows(args);
  }
}

void CpuBackend::Run(const AddStep& step, Arena& arena) {
  const MatView<Half> y = arena.half(step.y);
  const auto args = [&]<class T>(MatView<T> stream) {
    return AddResidualArgsOf<T>{.stream = stream.data,
                                .stream_stride = stream.stride,
                                .y = y.data,
                                .y_stride = y.stride,
                                .rows = stream.rows,
                                .cols = stream.cols,
                                .layer_scale = DataOrNull(step.layer_scale)};
  };
  if (arena.storage(step.stream) == SlotStorage::kFloat) {
    return kernels_.add_float_residual(args(arena.floats(step.stream)));
  }
  kernels_.add_residual(args(arena.half(step.stream)));
}

void CpuBackend::Run(const ConvertStep& step, Arena& arena) {
  if (arena.storage(step.in) == SlotStorage::kFloat) {
    const MatView<float> in = arena.floats(step.in);
    if (arena.storage(step.out) == SlotStorage::kFloat) {
      std::copy_n(in.data, in.rows * in.cols, arena.floats(step.out).data);
      return;
    }
    return kernels_.to_half(in.data, arena.half(step.out).data, in.rows * in.cols);
  }
  const MatView<Half> in = arena.half(step.in);
  kernels_.to_float(in.data, arena.floats(step.out).data, in.rows * in.cols);
}

void CpuBackend::Run(const QuantizeStep& step, Arena& arena) {
  Codes& to = BeginCodes(step.codes, step.in, arena);
  QuantizeRowsAt(kernels_, arena.half(step.in), to.quantizer, 0, &to.rows);
}

void CpuBackend::Run(const GemmS8Step& step, Arena& arena) {
  const Int8Linear& linear = static_cast<const Int8Weights&>(*step.weight).linear;
  const Codes& x = codes_[static_cast<size_t>(step.codes)];
  const MatView<Half> y = arena.half(step.out);
  W8A8_CHECK(x.rows.rows == y.rows && x.rows.cols == linear.k() && y.cols == linear.n());
  if (!arena.keep_trace) return linear.Multiply(x.rows, y);
  const MatView<int32_t> acc = {trace_acc_.Reserve(y.rows * y.cols), y.rows, y.cols, y.cols};
  const MatView<int8_t> codes = {trace_codes_.Reserve(y.rows * linear.k()), y.rows, linear.k(),
                                 linear.k()};
  linear.Multiply(x.rows, y, acc);
  UnpackCodes(kernels_, x.rows, codes);
  LeaveTrace(arena, codes,
             ScalesOf(x.quantizer, {x.rows.scale.data(), static_cast<size_t>(y.rows)}), acc,
             linear.weight_code_sum());
}

void CpuBackend::Run(const GemmCodesStep& step, Arena& arena) {
  const EmulatedLinear& linear = static_cast<const EmulatedWeights&>(*step.weight).linear;
  const MatView<Half> x = arena.half(step.in);
  const MatView<Half> y = arena.half(step.out);
  const MultiplyFloatFn multiply = [this](MatView<const float> a, const PackedWeights& weight,
                                          MatView<float> c) {
    gemm_.MultiplyTransposed(a, static_cast<const FloatWeights&>(weight).view(), c);
  };
  linear.Run(x, step.quantizer, multiply, y, &emulated_);
  if (!arena.keep_trace) return;
  const MatView<const int8_t> codes = {emulated_.codes.data(), x.rows, x.cols, x.cols};
  LeaveTrace(arena, codes,
             ScalesOf(step.quantizer, {emulated_.scale.data(), static_cast<size_t>(x.rows)}),
             {emulated_.acc.data(), y.rows, y.cols, y.cols}, linear.weight_code_sum());
}

int64_t CpuBackend::scratch_bytes() const {
  int64_t bytes =
      attention_.scratch_bytes() +
      Bytes(x_, product_, patch_, ones_, zeros_, emulated_.codes, emulated_.scale, emulated_.acc,
            emulated_.chunk_codes, emulated_.chunk_product, trace_codes_, trace_scale_, trace_acc_);
  for (const Codes& codes : codes_) bytes += Bytes(codes.rows.codes, codes.rows.scale);
  return bytes;
}

std::unique_ptr<Backend> MakeCpuBackend(std::string_view kernels_flag) {
  return std::make_unique<CpuBackend>(Select(kernels_flag));
}

}  // namespace w8a8
