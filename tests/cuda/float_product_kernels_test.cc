// Float products on the device: by FMAs in a fixed order, in every bit; by tensor cores as well as
// a plain loop.
#include "runtime/cuda/float_product_kernels.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/numerics.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class FloatProductKernels : public DeviceTest {};

struct Shape {
  int64_t m, n, k;
};

template <class Draw>
std::vector<float> Drawn(int64_t count, const Draw& draw) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(draw());
  return values;
}

// Of the operands rounded to FP16, in binary64.
double ExactDot(const std::vector<Half>& x, const std::vector<Half>& weight, int64_t stride,
                int64_t row, int64_t col, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    sum += double{ToFloat(x[static_cast<size_t>(row * stride + i)])} *
           double{ToFloat(weight[static_cast<size_t>(col * stride + i)])};
  }
  return sum;
}

TEST_F(FloatProductKernels, TensorCoresMultiplyHalvesAsWellAsAPlainLoop) {
  for (const Shape& shape : {Shape{1, 8, 16}, Shape{130, 72, 64}, Shape{3, 130, 588}}) {
    std::mt19937 random(8);
    std::normal_distribution<float> value(0.0f, 2.0f);
    const int64_t stride = (shape.k + kHalvesAlignment - 1) / kHalvesAlignment * kHalvesAlignment;
    const auto draw = [&](int64_t rows) {
      std::vector<Half> halves(static_cast<size_t>(rows * stride));
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < shape.k; ++i) {
          halves[static_cast<size_t>(r * stride + i)] = ToHalf(value(random));
        }
      }
      return halves;
    };
    const std::vector<Half> x = draw(shape.m), weight = draw(shape.n);
    const DeviceArray<Half> device_x(x), device_weight(weight);
    const DeviceArray<float> y(static_cast<size_t>(shape.m * shape.n));
    LaunchFloatProduct(nullptr, {.m = shape.m,
                                 .n = shape.n,
                                 .k = shape.k,
                                 .x = device_x.data(),
                                 .x_stride = stride,
                                 .weight = device_weight.data(),
                                 .weight_stride = stride,
                                 .bias = nullptr,
                                 .half = nullptr,
                                 .floats = y.data(),
                                 .y_stride = shape.n});
    std::vector<double> exact;
    std::vector<float> naive;
    for (int64_t r = 0; r < shape.m; ++r) {
      for (int64_t c = 0; c < shape.n; ++c) {
        exact.push_back(ExactDot(x, weight, stride, r, c, shape.k));
        float sum = 0.0f;
        for (int64_t i = 0; i < shape.k; ++i) {
          sum += ToFloat(x[static_cast<size_t>(r * stride + i)]) *
                 ToFloat(weight[static_cast<size_t>(c * stride + i)]);
        }
        naive.push_back(sum);
      }
    }
    EXPECT_EQ(TwiceNaive(exact, naive, y.Download()), "");
  }
}

TEST_F(FloatProductKernels, FloatProductsSumInAscendingOrderWhateverTheirOperandsAre) {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{65, 70, 33}, Shape{7, 130, 588}}) {
    std::mt19937 random(7);
    std::normal_distribution<float> value(0.0f, 2.0f);
    const auto draw = [&] { return value(random); };
    const auto x = Drawn(shape.m * shape.k, draw);
    const auto weight = Drawn(shape.n * shape.k, draw);
    const auto bias = Drawn(shape.n, draw);
    std::vector<Half> half_x(x.size()), half_weight(weight.size());
    std::ranges::transform(x, half_x.begin(), [](float v) { return ToHalf(v); });
    std::ranges::transform(weight, half_weight.begin(), [](float v) { return ToHalf(v); });
    const DeviceArray<float> device_x(x), device_weight(weight), device_bias(bias);
    const DeviceArray<Half> device_half_x(half_x), device_half_weight(half_weight);
    for (const bool half_operands : {false, true}) {
      const DeviceArray<float> floats(static_cast<size_t>(shape.m * shape.n));
      const DeviceArray<Half> halves(static_cast<size_t>(shape.m * shape.n));
      FloatProductArgs args{
          .m = shape.m,
          .n = shape.n,
          .k = shape.k,
          .x = half_operands ? Elements(device_half_x.data()) : Elements(device_x.data()),
          .x_stride = shape.k,
          .weight =
              half_operands ? Elements(device_half_weight.data()) : Elements(device_weight.data()),
          .weight_stride = shape.k,
          .bias = device_bias.data(),
          .half = nullptr,
          .floats = floats.data(),
          .y_stride = shape.n};
      LaunchFmaProduct(nullptr, args);
      args.half = halves.data();
      args.floats = nullptr;
      LaunchFmaProduct(nullptr, args);
      std::vector<float> y;
      std::vector<Half> rounded;
      for (int64_t r = 0; r < shape.m; ++r) {
        for (int64_t c = 0; c < shape.n; ++c) {
          float sum = 0.0f;
          for (int64_t i = 0; i < shape.k; ++i) {
            const auto at_x = static_cast<size_t>(r * shape.k + i);
            const auto at_w = static_cast<size_t>(c * shape.k + i);
            sum = half_operands ? Fma(ToFloat(half_x[at_x]), ToFloat(half_weight[at_w]), sum)
                                : Fma(x[at_x], weight[at_w], sum);
          }
          y.push_back(sum + bias[static_cast<size_t>(c)]);
          rounded.push_back(ToHalf(y.back()));
        }
      }
      EXPECT_EQ(Equal(y, floats.Download()), "");
      EXPECT_EQ(Equal(rounded, halves.Download()), "");
    }
  }
}

// The largest products that there are: 2^24 after 1,024 of them.
TEST_F(FloatProductKernels, ProductsOfCodesAreExactUpTo1024Inputs) {
  constexpr int64_t kInputs = 1024;
  std::vector<int8_t> x(2 * kInputs, int8_t{-128}), weight(3 * kInputs);
  std::ranges::fill(weight.begin(), weight.begin() + kInputs, int8_t{-128});
  for (int64_t i = kInputs; i < 3 * kInputs; ++i) {
    weight[static_cast<size_t>(i)] = static_cast<int8_t>(i * 37 % 255 - 127);
  }
  const DeviceArray<int8_t> device_x(x), device_weight(weight);
  const DeviceArray<float> y(6);
  LaunchFmaProduct(nullptr, {.m = 2,
                             .n = 3,
                             .k = kInputs,
                             .x = device_x.data(),
                             .x_stride = kInputs,
                             .weight = device_weight.data(),
                             .weight_stride = kInputs,
                             .bias = nullptr,
                             .half = nullptr,
                             .floats = y.data(),
                             .y_stride = 3});
  const std::vector<float> product = y.Download();
  for (size_t r = 0; r < 2; ++r) {
    for (size_t c = 0; c < 3; ++c) {
      int32_t acc = 0;
      for (size_t i = 0; i < kInputs; ++i) {
        acc += int32_t{x[r * kInputs + i]} * int32_t{weight[c * kInputs + i]};
      }
      EXPECT_EQ(product[r * 3 + c], static_cast<float>(acc));
    }
  }
}

}  // namespace
}  // namespace w8a8::test
