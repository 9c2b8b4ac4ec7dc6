// The steps of CpuArena that quantize rows and multiply codes.
#include <atomic>
#include <memory>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/cpu/cpu_arena.h"

namespace w8a8 {
namespace {

// Where the output is quantized: room for its codes, and where to count.
void WantOutput(const std::optional<Quantizer>& output, MatView<const Half> y, LinearTrace* trace,
                ProductOutput* out) {
  if (!output) return;
  trace->output_codes = Matrix<int8_t>(y.rows, y.cols);
  out->codes = trace->output_codes.view();
  out->saturated = &trace->output_saturated;
}

// Row by row what smoothing and rotation made of the input, in binary32.
Matrix<float> Transformed(MatView<const Half> x, const InputTransform& transform) {
  Matrix<float> values(x.rows, x.cols);
  TransformRows(x, transform, values.view());
  return values;
}

}  // namespace

CpuArena::SlotMemory& CpuArena::BeginCodes(const CodesOutput& to, SlotId from) {
  W8A8_CHECK(slot(to.slot).storage == SlotStorage::kCodes);
  SlotMemory& memory = memory_[static_cast<size_t>(to.slot)];
  memory.input = to.input;
  memory.from = from;
  memory.codes_seconds = 0;
  const CodesScheme scheme{.quantizer = *to.input.quantizer,
                           .transform = to.input.transform.get(),
                           .group = to.group,
                           .rows_per_image = to.input.first_row_twice ? slot(from).rows : 0};
  PrepareCodes(*kernels_.int8, rows(from), slot(from).cols, scheme, &memory.codes);
  return memory;
}

void CpuArena::Do(const QuantizeStep& step) {
  SlotMemory& to = BeginCodes(step.codes, step.in);
  const MatView<const Half> rows = half(step.in);
  if (!QuantizesRowsApart(to.codes)) return QuantizeRange(rows, 0, &to);
  InPieces(rows.rows, kLeastRows, [&](int64_t first, int64_t count, Scratch&) {
    QuantizeRange(rows.RowRange(first, count), first, &to);
  });
}

// Two readings of the clock for a block of rows that takes microseconds.
void CpuArena::QuantizeRange(MatView<const Half> rows, int64_t first, SlotMemory* to) const {
  const Clock::time_point start = Clock::now();
  QuantizeRowsAt(*kernels_.int8, rows, first, &to->codes);
  std::atomic_ref(to->codes_seconds).fetch_add(SecondsSince(start), std::memory_order_relaxed);
}

// The rows that the codes are of still stand in their slot: what a trace wants beside the codes is
// made from them anew.
std::shared_ptr<LinearTrace> CpuArena::TraceOfCodes(const SlotMemory& memory) const {
  const CodeRows& x = memory.codes;
  auto trace = std::make_shared<LinearTrace>();
  trace->input_scale = ScalesOf(x);
  trace->codes = Matrix<int8_t>(x.rows + x.second, x.cols);
  UnpackCodes(*kernels_.int8, x, trace->codes.view());
  const MatView<const Half> rows = half(memory.from);
  CodeRows again;
  QuantizeRows(*kernels_.int8, rows, x.scheme, &again, &trace->counts);
  if (x.scheme.transform != nullptr) {
    trace->transformed = Transformed(rows, *x.scheme.transform);
  }
  return trace;
}

StepResult CpuArena::Do(const GemmS8Step& step, const Wanted& wanted) {
  const Int8Linear& linear = PackedAs<Int8Linear>(*step.weight);
  const SlotMemory& memory = memory_[static_cast<size_t>(step.codes)];
  const CodeRows& x = memory.codes;
  const MatView<Half> y = half(step.out);
  W8A8_CHECK(x.rows == y.rows && x.cols == linear.k() && y.cols == linear.n());
  ProductOutput out{.y = y, .quantizer = step.output ? &*step.output : nullptr};
  if (!wanted.trace && !step.output && linear.MultipliesRowsApart(x)) {
    InPieces(x.rows, kLeastRows, [&](int64_t first, int64_t count, Scratch&) {
      linear.MultiplyRowRange(x, first, count, y.RowRange(first, count));
    });
    return {.codes_seconds = memory.codes_seconds};
  }
  if (!wanted.trace) {
    linear.Multiply(x, out, &product_scratch_);
    return {.codes_seconds = memory.codes_seconds};
  }
  const std::shared_ptr<LinearTrace> trace = TraceOfCodes(memory);
  const std::span<const int32_t> sums = linear.weight_code_sum();
  trace->weight_code_sum.assign(sums.begin(), sums.end());
  trace->acc = Matrix<int32_t>(linear.groups() * (x.rows + x.second), y.cols);
  out.acc = trace->acc.view();
  WantOutput(step.output, y, trace.get(), &out);
  linear.Multiply(x, out, &product_scratch_);
  return {.trace = trace, .codes_seconds = memory.codes_seconds};
}

StepResult CpuArena::Do(const GemmW8Step& step, const Wanted& wanted) {
  const Int8Linear& linear = PackedAs<Int8Linear>(*step.weight);
  const MatView<const Half> x = half(step.in);
  const MatView<Half> y = half(step.out);
  ProductOutput out{.y = y, .quantizer = step.output ? &*step.output : nullptr};
  std::shared_ptr<LinearTrace> trace;
  if (wanted.trace) {
    trace = std::make_shared<LinearTrace>();
    const std::span<const int32_t> sums = linear.weight_code_sum();
    trace->weight_code_sum.assign(sums.begin(), sums.end());
    if (step.transform) trace->transformed = Transformed(x, *step.transform);
    WantOutput(step.output, y, trace.get(), &out);
  }
  linear.MultiplyHalf(x, step.transform.get(), out, &product_scratch_);
  return {.trace = trace};
}

}  // namespace w8a8
