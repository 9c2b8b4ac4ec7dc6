// The linear layers that are not the int8 arm's: fake and emulated. The float products run on the
// device; what the flavours and the emulated arm do around them runs on the host by the same code
// as for every device, except for the fake arm's usual case.
#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "quant/fake_quant.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/quantize_kernels.h"

namespace w8a8 {
namespace {

InputScheme SchemeOf(const InputSteps& input, int64_t rows_per_image) {
  return {.quantizer = *input.quantizer,
          .transform = input.transform == nullptr ? InputTransform() : *input.transform,
          .rows_per_image = input.first_row_twice ? rows_per_image : 0};
}

template <class T>
Matrix<T> CopyOf(const std::vector<T>& values, int64_t rows, int64_t cols) {
  Matrix<T> copy(rows, cols);
  std::copy_n(values.data(), rows * cols, copy.view().data);
  return copy;
}

}  // namespace

// For EmulatedLinear: its chunks of codes as floats go to the device, their product comes back.
MultiplyFloatFn CudaArena::HostMultiplier() {
  return [this](MatView<const float> a, const PackedWeights& packed, MatView<float> c) {
    const CudaFloats& weight = PackedAs<CudaFloats>(packed);
    const auto count = static_cast<size_t>(a.rows * a.cols);
    host_values_.resize(count);
    for (int64_t r = 0; r < a.rows; ++r) {
      std::copy_n(a.row(r), a.cols, host_values_.data() + r * a.cols);
    }
    values_.Reserve(static_cast<int64_t>(count));
    CopyToDevice(queue(), values_.bytes(), host_values_.data(), count * sizeof(float));
    const MatView<float> product{product_.Reserve(c.rows * c.cols), c.rows, c.cols, c.cols};
    MultiplyFloats(values_.data(), {nullptr, a.rows, a.cols, a.cols}, weight, nullptr, {}, product);
    W8A8_CHECK(c.stride == c.cols);
    CopyToHost(queue(), c.data, product_.bytes(),
               static_cast<size_t>(c.rows * c.cols) * sizeof(float));
  };
}

bool CudaArena::RunIdealOnDevice(const GemmFakeStep& step, const Wanted& wanted) {
  if (wanted.trace || !IsIdealOnDevice(step, slot(step.out).storage)) return false;
  ReserveCodes(step.input, step.input.quantizer->GroupOf(slot(step.in).cols), step.in, &again_);
  Quantize(&again_, nullptr, nullptr);
  const MatView<float> values{values_.Reserve(again_.rows * again_.cols), again_.rows, again_.cols,
                              again_.cols};
  LaunchRealRows(queue(), {.codes = again_.codes.data(),
                           .codes_stride = again_.stride(),
                           .scale = again_.scale.data(),
                           .zero_point = again_.asymmetric() ? again_.zero_point.data() : nullptr,
                           .scale_group = again_.scale_groups > 1 ? again_.group : 0,
                           .rows_per_image = 0,
                           .values = values});
  MultiplyFloats(values.data, values, PackedAs<CudaFloats>(*step.weight), Vector(step.bias),
                 half(step.out), {});
  return true;
}

StepResult CudaArena::Do(const GemmFakeStep& step, const Wanted& wanted) {
  if (RunIdealOnDevice(step, wanted)) return {};
  const FakeOutput output{.flavour = step.flavour,
                          .bias = step.bias == nullptr ? std::span<const float>() : *step.bias,
                          .output = step.output};
  const MatView<const Half> x = HostHalf(step.in);
  const auto trace = wanted.trace ? std::make_shared<LinearTrace>() : nullptr;
  Matrix<float> operand(x.rows, x.cols);
  FakeOperand(step.input, step.flavour, slot(step.in).rows, x, operand.view(), trace.get());
  const int64_t n = slot(step.out).cols;
  Matrix<float> product(x.rows, n);
  HostMultiplier()(operand.view(), *step.weight, product.view());
  MatView<int8_t> codes;
  if (trace != nullptr && HasOutputCodes(output)) {
    trace->output_codes = Matrix<int8_t>(x.rows, n);
    codes = trace->output_codes.view();
  }
  const uint64_t saturated = FinishFakeRows(output, product.view(), codes);
  if (trace != nullptr) trace->output_saturated = saturated;
  const std::span<const float> y(product.view().data, static_cast<size_t>(x.rows * n));
  if (IsFloat(step.out)) {
    Upload(step.out, 0, std::as_bytes(y));
  } else {
    std::vector<Half> rounded(y.size());
    ToHalf(y, rounded);
    Upload(step.out, 0, std::as_bytes(std::span(rounded)));
  }
  return {.trace = trace};
}

// The rows as operand of the float product, on the host.
void CudaArena::FakeOperand(const InputSteps& input, FakeFlavour flavour, int64_t rows_per_image,
                            MatView<const Half> x, MatView<float> operand, LinearTrace* trace) {
  if (!input.quantizer) {
    const bool transformed = input.transform != nullptr;
    TransformRows(x, transformed ? *input.transform : InputTransform(), operand);
    if (transformed && trace != nullptr) {
      trace->transformed = Matrix<float>(x.rows, x.cols);
      std::copy_n(operand.data, x.rows * x.cols, trace->transformed.view().data);
    }
    for (int64_t i = 0; transformed && i < x.rows * x.cols; ++i) {
      operand.data[i] = ToFloat(ToHalf(operand.data[i]));
    }
    if (flavour == FakeFlavour::kVllmStaticBf16) RoundInput(flavour, operand);
    return;
  }
  const InputScheme scheme = SchemeOf(input, rows_per_image);
  QuantizeDequantizeRows(x, scheme, flavour, operand, &reference_);
  if (trace == nullptr) return;
  trace->counts = reference_.counts;
  if (reference_.codes.empty()) return;
  trace->input_scale = reference_.scales;
  const int64_t second = scheme.rows_per_image > 0 ? inputs().images : 0;
  trace->codes = CopyOf(reference_.codes, x.rows + second, x.cols);
  if (!scheme.transform.empty()) trace->transformed = CopyOf(reference_.values, x.rows, x.cols);
}

StepResult CudaArena::Do(const GemmCodesStep& step, const Wanted& wanted) {
  const EmulatedLinear& linear = PackedAs<CudaEmulated>(*step.weight).linear();
  const MatView<const Half> x = HostHalf(step.in);
  const auto trace = wanted.trace ? std::make_shared<LinearTrace>() : nullptr;
  Matrix<Half> y(x.rows, linear.n());
  if (step.input.quantizer) {
    RunEmulated(step, linear, x, y.view(), trace.get());
  } else {
    Matrix<float> rows(x.rows, x.cols);
    FakeOperand(step.input, FakeFlavour::kIdeal, 0, x, rows.view(), trace.get());
    linear.RunWeightOnly(rows.view(), HostMultiplier(), y.view(), &emulated_);
  }
  MatView<int8_t> codes;
  if (trace != nullptr) {
    const std::span<const int32_t> sums = linear.weight_code_sum();
    trace->weight_code_sum.assign(sums.begin(), sums.end());
    if (step.output) trace->output_codes = Matrix<int8_t>(y.view().rows, y.view().cols);
    codes = trace->output_codes.view();
  }
  if (step.output) {
    const uint64_t saturated = QuantizeOutputs(*step.output, y.view(), codes);
    if (trace != nullptr) trace->output_saturated = saturated;
  }
  Upload(step.out, 0,
         std::as_bytes(
             std::span<const Half>(y.view().data, static_cast<size_t>(x.rows * linear.n()))));
  return {.trace = trace};
}

void CudaArena::RunEmulated(const GemmCodesStep& step, const EmulatedLinear& linear,
                            MatView<const Half> x, MatView<Half> y, LinearTrace* trace) {
  const InputScheme scheme = SchemeOf(step.input, slot(step.in).rows);
  if (trace == nullptr) return linear.Run(x, scheme, HostMultiplier(), y, &emulated_);
  const int64_t second = scheme.rows_per_image > 0 ? inputs().images : 0;
  trace->acc = Matrix<int32_t>(linear.groups() * (x.rows + second), y.cols);
  linear.Run(x, scheme, HostMultiplier(), y, &emulated_, trace->acc.view());
  const ReferenceRows& rows = emulated_.rows;
  trace->input_scale = rows.scales;
  trace->counts = rows.counts;
  trace->codes = CopyOf(rows.codes, x.rows + second, x.cols);
  if (!scheme.transform.empty()) trace->transformed = CopyOf(rows.values, x.rows, x.cols);
}

}  // namespace w8a8
