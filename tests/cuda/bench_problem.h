// The INT8 products that cuda_bench measures, and what is right of them.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "quant/numerics.h"
#include "runtime/base/error.h"
#include "runtime/cuda/product_kernels.h"
#include "tests/cuda/bench_data.h"
#include "tests/cuda/bench_measure.h"
#include "tests/cuda/bench_sample.h"

namespace w8a8::bench {

inline float PositiveScale(int32_t code, float fraction) {
  return (static_cast<float>(std::abs(code)) + fraction + 1.0f) * 1e-3f;
}

constexpr float kCodesScale = 0.05f;
constexpr uint16_t kPoisonedHalf = 0xd5d5;  // what AfterPoison() leaves

// Operands of one shape; kept for the cases of that shape.
class Int8Problem {
 public:
  explicit Int8Problem(const Shape& s)
      : Int8Problem(s, BellShaped<int8_t>(s.m * s.k, 1, Code),
                    BellShaped<int8_t>(s.n * s.k, 2, Code)) {}

  ProductArgs ArgsOf(ProductOutput output) {
    ProductArgs args{.m = shape.m,
                     .n = shape.n,
                     .k = shape.k,
                     .x = x.data(),
                     .x_stride = shape.k,
                     .weight = weight.data(),
                     .weight_stride = shape.k,
                     .scale_x = scale_x.data(),
                     .scale_w = scale_w.data(),
                     .bias = bias.data(),
                     .y = y.data(),
                     .y_stride = shape.n,
                     .acc = nullptr,
                     .output = output};
    args.layer_scale = output == ProductOutput::kResidual ? scale_w.data() : nullptr;
    args.activation = ActivationKind::kGeluTanh;
    args.codes_scale = kCodesScale;
    args.codes_stride = PaddedCodes(shape.n);
    args.codes = codes.Reserve(shape.m * args.codes_stride);
    return args;
  }

  // Runs `run`, which does what `args` says, into poison; throws unless its sampled outputs are the
  // CPU's and all are those of the plain kernel, where that one's are the CPU's too.
  template <class Run>
  void Check(const ProductArgs& args, Run run, Figure& figure) {
    if (args.output == ProductOutput::kCodes) {
      return Check(codes, args, run, &plain_codes_, figure, [this](const SampledSums::Sum& sum) {
        const float value = ToFloat(ToHalf(GeluTanh(ToFloat(HalfOf(sum)))));
        return ActivationCode(value, TensorScale(kCodesScale).inv_scale);
      });
    }
    const bool residual = args.output == ProductOutput::kResidual;
    Check(y, args, run, residual ? &plain_residual_ : &plain_, figure,
          [this, residual](const SampledSums::Sum& sum) {
            const float layer_scale = host_scale_w[static_cast<size_t>(sum.col)];
            const Half output = HalfOf(sum);
            return residual ? ToHalf(Residual(layer_scale, ToFloat(output),
                                              ToFloat(Half{kPoisonedHalf})))
                            : output;
          });
  }

  const Shape shape;
  const DeviceMemory<int8_t> x, weight;
  const std::vector<float> host_scale_x, host_scale_w, host_bias;
  const DeviceMemory<float> scale_x, scale_w, bias;
  DeviceMemory<Half> y;
  DeviceMemory<int8_t> codes;

 private:
  Int8Problem(const Shape& s, const std::vector<int8_t>& host_x,
              const std::vector<int8_t>& host_weight)
      : shape(s),
        x(OnDevice(host_x)),
        weight(OnDevice(host_weight)),
        host_scale_x(BellShaped<float>(s.m, 3, PositiveScale)),
        host_scale_w(BellShaped<float>(s.n, 4, PositiveScale)),
        host_bias(BellShaped<float>(s.n, 5, PositiveScale)),
        scale_x(OnDevice(host_scale_x)),
        scale_w(OnDevice(host_scale_w)),
        bias(OnDevice(host_bias)),
        sums_(host_x, host_weight, s.m, s.n, s.k) {
    y.Reserve(s.m * s.n);
  }

  Half HalfOf(const SampledSums::Sum& sum) const {
    const auto row = static_cast<size_t>(sum.row), col = static_cast<size_t>(sum.col);
    return ToHalf(Dequantize(sum.value, host_scale_w[col], host_scale_x[row], host_bias[col]));
  }

  // `plain`: the plain kernel's, made when they are first asked for.
  template <class T, class Run, class Output>
  void Check(const DeviceMemory<T>& outputs, const ProductArgs& args, Run run,
             std::vector<T>* plain, Figure& figure, Output expected) {
    const int64_t stride = args.output == ProductOutput::kCodes ? args.codes_stride : args.y_stride;
    const std::vector<T> actual = AfterPoison(outputs, shape.m * stride, run);
    if (const std::string wrong = sums_.Differs(actual, stride, expected); !wrong.empty()) {
      Fail("{}", wrong);
    }
    figure.checked = "sample by the CPU";
    if (plain->empty()) {
      *plain = AfterPoison(outputs, shape.m * stride, [&] { LaunchProduct(nullptr, args); });
    }
    // That kernel's own case says so.
    if (!sums_.Differs(*plain, stride, expected).empty()) return;
    CompareBits(actual, *plain);
    figure.checked += ", all by mma";
  }

  const SampledSums sums_;
  std::vector<Half> plain_, plain_residual_;
  std::vector<int8_t> plain_codes_;
};

// One at a time: a shape's cases are neighbours.
inline Int8Problem& ProblemOf(const Shape& shape) {
  static std::unique_ptr<Int8Problem> problem;
  if (problem == nullptr || problem->shape.name != shape.name) {
    problem.reset();
    problem = std::make_unique<Int8Problem>(shape);
  }
  return *problem;
}

}  // namespace w8a8::bench
