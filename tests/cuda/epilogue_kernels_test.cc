// What is left to do behind a library's products: every bit of the formulas.
#include "runtime/cuda/epilogue_kernels.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/numerics.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class EpilogueKernels : public DeviceTest {};

// Rows of one block and of several, columns that end inside of one.
struct Shape {
  int64_t m, n;
};
const Shape kShapes[] = {{1, 1}, {5, 257}, {33, 1025}};

std::vector<float> Floats(int64_t count, float low, float high) {
  std::mt19937 random(static_cast<uint32_t>(count));
  std::uniform_real_distribution<float> value(low, high);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(value(random));
  return values;
}

// Sums beyond 2^24 too, which binary32 rounds.
std::vector<int32_t> Sums(int64_t count) {
  std::mt19937 random(3);
  std::vector<int32_t> sums;
  for (int64_t i = 0; i < count; ++i) {
    sums.push_back(static_cast<int32_t>(random() >> 3) - (1 << 28));
  }
  return sums;
}

TEST_F(EpilogueKernels, Int32SumsAreDequantized) {
  for (const auto& [m, n] : kShapes) {
    const std::vector<int32_t> sums = Sums(m * n);
    const auto scale_x = Floats(m, 1e-4f, 2e-4f), scale_w = Floats(n, 1e-4f, 3e-4f);
    const auto bias = Floats(n, -1.0f, 1.0f);
    const DeviceArray<int32_t> on_device(sums), acc(sums.size());
    const DeviceArray<float> device_x(scale_x), device_w(scale_w), device_bias(bias);
    const DeviceArray<Half> y(sums.size());
    LaunchDequantize(nullptr, on_device.data(),
                     {.m = m,
                      .n = n,
                      .k = 0,
                      .x = nullptr,
                      .x_stride = 0,
                      .weight = nullptr,
                      .weight_stride = 0,
                      .scale_x = device_x.data(),
                      .scale_w = device_w.data(),
                      .bias = device_bias.data(),
                      .y = y.data(),
                      .y_stride = n,
                      .acc = acc.data()});
    std::vector<Half> expected;
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        expected.push_back(
            ToHalf(Dequantize(sums[static_cast<size_t>(r * n + c)], scale_w[static_cast<size_t>(c)],
                              scale_x[static_cast<size_t>(r)], bias[static_cast<size_t>(c)])));
      }
    }
    EXPECT_EQ(Equal(expected, y.Download()), "");
    EXPECT_EQ(Equal(sums, acc.Download()), "");
  }
}

TEST_F(EpilogueKernels, FloatSumsGetTheirBiasBeforeTheOneRounding) {
  for (const auto& [m, n] : kShapes) {
    for (const bool biased : {false, true}) {
      const auto sums = Floats(m * n, -100.0f, 100.0f), bias = Floats(n, -1.0f, 1.0f);
      const DeviceArray<float> on_device(sums), device_bias(bias), floats(sums.size());
      const DeviceArray<Half> halves(sums.size());
      FloatProductArgs args{.m = m,
                            .n = n,
                            .k = 0,
                            .x = static_cast<const Half*>(nullptr),
                            .x_stride = 0,
                            .weight = static_cast<const Half*>(nullptr),
                            .weight_stride = 0,
                            .bias = biased ? device_bias.data() : nullptr,
                            .half = halves.data(),
                            .floats = nullptr,
                            .y_stride = n};
      LaunchFinishFloats(nullptr, on_device.data(), args);
      args.half = nullptr;
      args.floats = floats.data();
      LaunchFinishFloats(nullptr, on_device.data(), args);
      std::vector<float> expected;
      std::vector<Half> rounded;
      for (size_t i = 0; i < sums.size(); ++i) {
        expected.push_back(biased ? sums[i] + bias[i % static_cast<size_t>(n)] : sums[i]);
        rounded.push_back(ToHalf(expected.back()));
      }
      EXPECT_EQ(Equal(expected, floats.Download()), "");
      EXPECT_EQ(Equal(rounded, halves.Download()), "");
    }
  }
}

TEST_F(EpilogueKernels, AValueIsRepeatedAsOftenAsAskedForAndNoMore) {
  for (const size_t count : {1u, 255u, 257u}) {
    const DeviceArray<float> values(std::vector<float>(count + 1, 1.0f));
    LaunchRepeat(nullptr, 0.02f, static_cast<int64_t>(count), values.data());
    std::vector<float> expected(count, 0.02f);
    expected.push_back(1.0f);
    EXPECT_EQ(Equal(expected, values.Download()), "");
  }
}

}  // namespace
}  // namespace w8a8::test
