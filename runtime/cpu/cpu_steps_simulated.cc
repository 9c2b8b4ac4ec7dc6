// The linear layers that are not the int8 arm's: FP16 sites, fake and emulated. What fake and
// emulated do to rows takes one image at a time.
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quant/fake_quant.h"
#include "quant/reference_quantizer.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/float_scratch.h"

namespace w8a8 {
namespace {

template <class T>
Matrix<T> CopyOf(const T* values, int64_t rows, int64_t cols) {
  Matrix<T> copy(rows, cols);
  std::copy_n(values, rows * cols, copy.view().data);
  return copy;
}

InputScheme SchemeOf(const InputSteps& input, int64_t rows_per_image) {
  return {.quantizer = *input.quantizer,
          .transform = input.transform == nullptr ? InputTransform() : *input.transform,
          .rows_per_image = input.first_row_twice ? rows_per_image : 0};
}

std::shared_ptr<LinearTrace> NewTrace(const Wanted& wanted) {
  return wanted.trace ? std::make_shared<LinearTrace>() : nullptr;
}

void AddTo(QuantizeCounts& counts, const QuantizeCounts& image) {
  counts.nan += image.nan;
  counts.inf += image.inf;
  counts.saturated += image.saturated;
}

template <class T>
void Append(std::vector<T>& values, const std::vector<T>& image) {
  values.insert(values.end(), image.begin(), image.end());
}

// The scales of one more image's rows; one that all rows share is there already.
void AddTo(RowScales& scales, const RowScales& image) {
  if (scales.values.empty()) {
    scales = image;
    return;
  }
  Append(scales.second_values, image.second_values);
  if (scales.shared) return;
  Append(scales.values, image.values);
  Append(scales.zero_points, image.zero_points);
}

// `trace` (nullptr: nobody asks) keeps the codes.
void QuantizeOutputsOf(const std::optional<Quantizer>& output, MatView<Half> y,
                       LinearTrace* trace) {
  if (!output) return;
  MatView<int8_t> codes;
  if (trace != nullptr) {
    trace->output_codes = Matrix<int8_t>(y.rows, y.cols);
    codes = trace->output_codes.view();
  }
  const uint64_t saturated = QuantizeOutputs(*output, y, codes);
  if (trace != nullptr) trace->output_saturated = saturated;
}

}  // namespace

MatView<float> CpuArena::UnquantizedRows(MatView<const Half> x, const InputTransform* transform,
                                         int64_t first_row, LinearTrace* trace) {
  if (transform == nullptr) return Widen(kernels_.rows->half, x, &x_);
  const MatView<float> rows = Room(x.rows, x.cols, &x_);
  TransformRows(x, *transform, rows);
  for (int64_t r = 0; r < rows.rows; ++r) {
    if (trace != nullptr) {
      std::copy_n(rows.row(r), rows.cols, trace->transformed.view().row(first_row + r));
    }
    for (float& value : rows.row_span(r)) value = ToFloat(ToHalf(value));
  }
  return rows;
}

MultiplyFloatFn CpuArena::Multiplier() {
  return [this](MatView<const float> a, const PackedWeights& weight, MatView<float> c) {
    gemm_.MultiplyTransposed(a, PackedAs<FloatWeights>(weight).view(), c);
  };
}

StepResult CpuArena::Do(const GemmF16Step& step, const Wanted& wanted) {
  MultiplyFloats<Half>(PackedAs<PackedFloats>(*step.weight), half(step.in), DataOrNull(step.bias),
                       half(step.out));
  if (!step.output) return {};
  const std::shared_ptr<LinearTrace> trace = NewTrace(wanted);
  QuantizeOutputsOf(step.output, half(step.out), trace.get());
  return {.trace = trace};
}

StepResult CpuArena::Do(const GemmFakeStep& step, const Wanted& wanted) {
  const std::shared_ptr<LinearTrace> trace = NewTrace(wanted);
  const FakeOutput output{.flavour = step.flavour,
                          .bias = step.bias == nullptr ? std::span<const float>() : *step.bias,
                          .output = step.output};
  const PackedFloats& linear = PackedAs<PackedFloats>(*step.weight);
  if (trace != nullptr) BeginTrace(step, HasOutputCodes(output), *trace);
  for (int64_t image = 0; image < inputs().images; ++image) {
    const MatView<const float> values = FakeOperand(step, image, trace.get());
    if (!step.output && !IsVllmStatic(step.flavour)) {
      MultiplyFloats(linear, values, DataOrNull(step.bias), half(step.out, image));
      continue;
    }
    const MatView<float> product = Room(values.rows, slot(step.out).cols, &product_);
    MultiplyFloats(linear, values, nullptr, product);
    MatView<int8_t> codes = trace == nullptr ? MatView<int8_t>() : trace->output_codes.view();
    if (codes.data != nullptr) codes = codes.RowRange(FirstRow(step.out, image), values.rows);
    const uint64_t saturated = FinishFakeRows(output, product, codes);
    if (trace != nullptr) trace->output_saturated += saturated;
    StoreProduct(product, step.out, image);
  }
  return {.trace = trace};
}

// An FP32 slot takes the values of a 16-bit dtype that is not FP16 as they are.
void CpuArena::StoreProduct(MatView<const float> product, SlotId out, int64_t image) {
  if (slot(out).storage == SlotStorage::kFloat) {
    std::copy_n(product.data, product.rows * product.cols, floats(out, image).data);
    return;
  }
  const MatView<Half> y = half(out, image);
  for (int64_t r = 0; r < y.rows; ++r) {
    Narrow(kernels_.rows->half, product.row_span(r), y.row_span(r));
  }
}

// Makes room for what FakeOperand() and FinishFakeRows() leave of all images.
void CpuArena::BeginTrace(const GemmFakeStep& step, bool output_codes, LinearTrace& trace) const {
  const int64_t rows = this->rows(step.in), cols = slot(step.in).cols;
  const int64_t second = step.input.first_row_twice ? inputs().images : 0;
  const Quantizer* input = step.input.quantizer ? &*step.input.quantizer : nullptr;
  const bool left_alone = input == nullptr || (IsVllmStatic(step.flavour) && input->scale == 0.0f);
  if (!left_alone) trace.codes = Matrix<int8_t>(rows + second, cols);
  if (step.input.transform != nullptr) trace.transformed = Matrix<float>(rows, cols);
  if (output_codes) trace.output_codes = Matrix<int8_t>(this->rows(step.out), slot(step.out).cols);
}

MatView<const float> CpuArena::IdealOperand(const InputSteps& input, MatView<const Half> x) {
  const CodesScheme scheme{.quantizer = *input.quantizer,
                           .transform = input.transform.get(),
                           .group = input.quantizer->GroupOf(x.cols)};
  QuantizeRows(*kernels_.int8, x, scheme, &ideal_);
  const MatView<float> values = Room(x.rows, x.cols, &x_);
  RealRows(*kernels_.int8, ideal_, &unpacked_, values);
  return values;
}

// The image's rows as operand of the float product.
MatView<const float> CpuArena::FakeOperand(const GemmFakeStep& step, int64_t image,
                                           LinearTrace* trace) {
  const MatView<Half> x = half(step.in, image);
  const int64_t first = FirstRow(step.in, image);
  const InputTransform* transform = step.input.transform.get();
  if (!step.input.quantizer) {
    const MatView<float> values = UnquantizedRows(x, transform, first, trace);
    if (step.flavour == FakeFlavour::kVllmStaticBf16) RoundInput(step.flavour, values);
    return values;
  }
  if (trace == nullptr && step.flavour == FakeFlavour::kIdeal && !step.input.first_row_twice) {
    return IdealOperand(step.input, x);
  }
  const MatView<float> values = Room(x.rows, x.cols, &x_);
  ReferenceRows& rows = emulated_.rows;
  QuantizeDequantizeRows(x, SchemeOf(step.input, x.rows), step.flavour, values, &rows);
  if (trace == nullptr) return values;
  AddTo(trace->counts, rows.counts);
  if (rows.codes.empty()) return values;
  const int64_t own = x.rows * x.cols;
  const MatView<int8_t> codes = trace->codes.view();
  std::copy_n(rows.codes.data(), own, codes.row(first));
  if (step.input.first_row_twice) {
    std::copy_n(rows.codes.data() + own, x.cols, codes.row(this->rows(step.in) + image));
  }
  if (transform != nullptr) {
    std::copy_n(rows.values.data(), own, trace->transformed.view().row(first));
  }
  AddTo(trace->input_scale, rows.scales);
  return values;
}

StepResult CpuArena::Do(const GemmCodesStep& step, const Wanted& wanted) {
  const EmulatedLinear& linear = PackedAs<EmulatedLinear>(*step.weight);
  const MatView<Half> x = half(step.in);
  const MatView<Half> y = half(step.out);
  const std::shared_ptr<LinearTrace> trace = NewTrace(wanted);
  const InputTransform* transform = step.input.transform.get();
  if (trace != nullptr && transform != nullptr) {
    trace->transformed = Matrix<float>(x.rows, x.cols);
  }
  if (step.input.quantizer) {
    RunCodes(step, x, y, trace.get());
  } else {
    for (int64_t image = 0; image < inputs().images; ++image) {
      const MatView<float> rows =
          UnquantizedRows(half(step.in, image), transform, FirstRow(step.in, image), trace.get());
      linear.RunWeightOnly(rows, Multiplier(), half(step.out, image), &emulated_);
    }
  }
  if (trace != nullptr) {
    const std::span<const int32_t> sums = linear.weight_code_sum();
    trace->weight_code_sum.assign(sums.begin(), sums.end());
  }
  QuantizeOutputsOf(step.output, y, trace.get());
  return {.trace = trace};
}

// The exact products; `trace` (nullptr: nobody asks) keeps what they were made of.
void CpuArena::RunCodes(const GemmCodesStep& step, MatView<const Half> x, MatView<Half> y,
                        LinearTrace* trace) {
  const EmulatedLinear& linear = PackedAs<EmulatedLinear>(*step.weight);
  const InputScheme scheme = SchemeOf(step.input, slot(step.in).rows);
  if (trace == nullptr) return linear.Run(x, scheme, Multiplier(), y, &emulated_);
  const int64_t second = scheme.rows_per_image > 0 ? x.rows / scheme.rows_per_image : 0;
  trace->acc = Matrix<int32_t>(linear.groups() * (x.rows + second), y.cols);
  linear.Run(x, scheme, Multiplier(), y, &emulated_, trace->acc.view());
  const ReferenceRows& rows = emulated_.rows;
  trace->input_scale = rows.scales;
  trace->counts = rows.counts;
  trace->codes = CopyOf(rows.codes.data(), x.rows + second, x.cols);
  if (scheme.transform.empty()) return;
  trace->transformed = CopyOf(rows.values.data(), x.rows, x.cols);
}

}  // namespace w8a8
