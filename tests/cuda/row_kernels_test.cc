// Activation functions, gates, residual, conversions and outputs through their codes on the device
// against the CPU's scalar kernels, in every bit.
#include "runtime/cuda/row_kernels.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/row_kernels.h"
#include "tests/cuda/device_rows.h"
#include "tests/cuda/device_test.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using RowKernelsOnDevice = DeviceTest;

constexpr int64_t kColumnCounts[] = {1, 7, 72, 192, 255, 257, 588, 1152};
constexpr ActivationKind kKinds[] = {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                                     ActivationKind::kQuickGelu, ActivationKind::kSilu};
// 16-byte aligned rows, and not.
constexpr Placing kPlacings[] = {{0, 0}, {8, 16}, {0, 3}, {1, 7}};

std::vector<Half> EveryPattern() {
  std::vector<Half> patterns(65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) patterns[bits] = Half{static_cast<uint16_t>(bits)};
  return patterns;
}

std::vector<Half> Activated(ActivationKind kind, const std::vector<Half>& x) {
  const RowKernels& kernels = kScalarRowKernels;
  void (*const functions[])(const ActivationRowsArgs&) = {kernels.gelu_erf, kernels.gelu_tanh,
                                                          kernels.quick_gelu, kernels.silu};
  std::vector<Half> y(x.size());
  const auto count = static_cast<int64_t>(x.size());
  functions[static_cast<size_t>(kind)]({.x = x.data(),
                                        .x_stride = count,
                                        .rows = 1,
                                        .cols = count,
                                        .y = y.data(),
                                        .y_stride = count});
  return y;
}

std::vector<Half> Multiplied(std::vector<Half> x, const std::vector<Half>& by) {
  const auto count = static_cast<int64_t>(x.size());
  kScalarRowKernels.multiply({.x = x.data(),
                              .x_stride = count,
                              .by = by.data(),
                              .by_stride = count,
                              .rows = 1,
                              .cols = count});
  return x;
}

void ExpectCodesOf(const std::vector<Half>& y, int64_t cols, const DevicePlainCodes& actual,
                   const std::string& what) {
  const PlainCodes& plain = actual.plain;
  const int64_t rows = static_cast<int64_t>(y.size()) / cols;
  std::vector<int8_t> codes(actual.codes.size());
  std::vector<float> scale(static_cast<size_t>(rows));
  std::vector<int32_t> code_sum(static_cast<size_t>(rows));
  kScalarInt8Kernels.quantize_rows(
      {.x = y.data(),
       .x_stride = cols,
       .rows = rows,
       .cols = cols,
       .clip_range = plain.clip_range,
       .static_scale = plain.static_scale > 0.0f ? &plain.static_scale : nullptr,
       .codes = codes.data(),
       .codes_stride = plain.stride,
       .scale = scale.data(),
       .code_sum = code_sum.data(),
       .counts = nullptr});
  EXPECT_EQ(Equal(codes, actual.codes.Download()), "") << what;
  EXPECT_EQ(Equal(scale, actual.scale.Download()), "") << what;
  EXPECT_EQ(Equal(code_sum, actual.code_sum.Download()), "") << what;
}

TEST_F(RowKernelsOnDevice, ActivateEveryPatternAsTheCpu) {
  const std::vector<Half> patterns = EveryPattern();
  for (const ActivationKind kind : kKinds) {
    const DeviceRows<Half> x(patterns, 1024), y(64, 1024);
    LaunchActivation(nullptr,
                     {.kind = kind, .x = x.view(), .gated = {}, .y = y.view(), .codes = {}});
    EXPECT_EQ(Equal(Activated(kind, patterns), y.Download()), "") << static_cast<int>(kind);
  }
}

TEST_F(RowKernelsOnDevice, TakeNoRowsForNoWork) {
  LaunchActivation(nullptr, {});
  LaunchAdd(nullptr, AddArgs());
  LaunchConvert(nullptr, MatView<const Half>(), MatView<float>());
  LaunchThroughCodes(nullptr, {});
}

TEST_F(RowKernelsOnDevice, ActivateAndQuantizeAsTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const Placing placing : kPlacings) {
      const std::vector<Half> x = RandomRows(5, cols, 41);
      const std::vector<Half> expected = Activated(ActivationKind::kGeluErf, x);
      for (const float static_scale : {0.0f, 0.0078125f}) {
        const DeviceRows<Half> there(x, cols, placing), y(5, cols, placing);
        const DevicePlainCodes codes(5, cols, static_scale, 1.5f);
        LaunchActivation(nullptr, {.kind = ActivationKind::kGeluErf,
                                   .x = there.view(),
                                   .gated = {},
                                   .y = y.view(),
                                   .codes = codes.plain});
        EXPECT_EQ(Equal(expected, y.Download()), "") << cols;
        ExpectCodesOf(expected, cols, codes, std::to_string(cols));
      }
    }
  }
}

TEST_F(RowKernelsOnDevice, GateAndQuantizeAsTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const ActivationKind kind : kKinds) {
      const std::vector<Half> gate = RandomRows(5, cols, 42), value = RandomRows(5, cols, 43);
      const std::vector<Half> expected = Multiplied(Activated(kind, gate), value);
      const DeviceRows<Half> gate_there(gate, cols), value_there(value, cols);
      const DevicePlainCodes codes(5, cols, 0.0f, kNoClipRange);
      LaunchActivation(nullptr, {.kind = kind,
                                 .x = gate_there.view(),
                                 .gated = value_there.view(),
                                 .y = {},
                                 .codes = codes.plain});
      ExpectCodesOf(expected, cols, codes, std::to_string(cols));
    }
  }
}

// GateStep: gate and value are columns of one matrix; ActivationStep may work in place.
TEST_F(RowKernelsOnDevice, GateColumnsOfOneMatrixInPlace) {
  for (const int64_t cols : {8, 72, 33}) {
    const std::vector<Half> both = RandomRows(7, 2 * cols, 44);
    std::vector<Half> gate, value;
    for (size_t i = 0; i < both.size(); ++i) {
      const bool left = static_cast<int64_t>(i) % (2 * cols) < cols;
      (left ? gate : value).push_back(both[i]);
    }
    const DeviceRows<Half> there(both, 2 * cols);
    const MatView<Half> x = there.view().ColRange(0, cols);
    LaunchActivation(nullptr, {.kind = ActivationKind::kSilu,
                               .x = x,
                               .gated = there.view().ColRange(cols, cols),
                               .y = x,
                               .codes = {}});
    const std::vector<Half> product = Multiplied(Activated(ActivationKind::kSilu, gate), value);
    std::vector<Half> expected;
    for (size_t r = 0; r < 7; ++r) {
      const auto width = static_cast<std::ptrdiff_t>(cols);
      const auto at = static_cast<std::ptrdiff_t>(r) * width;
      expected.insert(expected.end(), product.begin() + at, product.begin() + at + width);
      expected.insert(expected.end(), value.begin() + at, value.begin() + at + width);
    }
    EXPECT_EQ(Equal(expected, there.Download()), "") << cols;
  }
}

TEST_F(RowKernelsOnDevice, ActivateWideAndManyRowsAsTheCpu) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{729, 24}, {1025, 8}, {33, 72}, {2, 12800}}) {
    const std::vector<Half> x = RandomRows(rows, cols, 45);
    const DeviceRows<Half> there(x, cols), y(rows, cols);
    const DevicePlainCodes codes(rows, cols, 0.0f, kNoClipRange);
    LaunchActivation(nullptr, {.kind = ActivationKind::kGeluTanh,
                               .x = there.view(),
                               .gated = {},
                               .y = y.view(),
                               .codes = codes.plain});
    const std::vector<Half> expected = Activated(ActivationKind::kGeluTanh, x);
    EXPECT_EQ(Equal(expected, y.Download()), "") << rows << " x " << cols;
    ExpectCodesOf(expected, cols, codes, std::to_string(rows));
  }
}

template <class T>
AddResidualArgsOf<T> AddArgsOnCpu(std::vector<T>& stream, const std::vector<Half>& y, int64_t cols,
                                  const float* layer_scale) {
  return {.stream = stream.data(),
          .stream_stride = cols,
          .y = y.data(),
          .y_stride = cols,
          .rows = static_cast<int64_t>(y.size()) / cols,
          .cols = cols,
          .layer_scale = layer_scale};
}

TEST_F(RowKernelsOnDevice, AddResidualsAsTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const Placing placing : kPlacings) {
      for (const bool scaled : {false, true}) {
        std::vector<Half> stream = RandomRows(5, cols, 46);
        std::vector<float> floats = RandomFloats(5 * cols, 47, 1e5f);
        const std::vector<Half> y = RandomRows(5, cols, 48);
        const std::vector<float> layer_scale = RandomFloats(cols, 49, 0.0f);
        const DeviceRows<Half> halves_there(stream, cols, placing), y_there(y, cols, placing);
        const DeviceRows<float> floats_there(floats, cols, placing);
        const DeviceArray<float> scale_there(layer_scale);
        const float* const there = scaled ? scale_there.data() : nullptr;
        LaunchAdd(nullptr, AddArgs{halves_there.view(), y_there.view(), there});
        LaunchAdd(nullptr, AddFloatArgs{floats_there.view(), y_there.view(), there});
        const float* const here = scaled ? layer_scale.data() : nullptr;
        kScalarRowKernels.add_residual(AddArgsOnCpu(stream, y, cols, here));
        kScalarRowKernels.add_float_residual(AddArgsOnCpu(floats, y, cols, here));
        EXPECT_EQ(Equal(stream, halves_there.Download()), "") << cols;
        EXPECT_EQ(Equal(floats, floats_there.Download()), "") << cols;
      }
    }
  }
}

TEST_F(RowKernelsOnDevice, ConvertEveryPatternAsTheCpu) {
  const std::vector<Half> patterns = EveryPattern();
  const DeviceRows<Half> halves(patterns, 512), back(128, 512);
  const DeviceRows<float> floats(128, 512);
  LaunchConvert(nullptr, halves.view(), floats.view());
  LaunchConvert(nullptr, floats.view(), back.view());
  std::vector<float> expected(patterns.size());
  kScalarRowKernels.half.to_float(patterns.data(), expected.data(), 65536);
  EXPECT_EQ(Equal(expected, floats.Download()), "");
  EXPECT_EQ(Equal(patterns, back.Download()), "");
}

// Around every FP16 value and every midpoint between two, and beyond the largest.
TEST_F(RowKernelsOnDevice, RoundToFp16AsTheCpu) {
  std::vector<float> values = {65519.99f, 65520.0f, -65520.0f, 1e30f, 0x1p-25f, -0x1.000002p-25f};
  for (uint64_t i = 0; i < 4086; ++i) {
    const float value = ToFloat(Half{static_cast<uint16_t>(CounterHash(50, i))});
    values.push_back(value * (1.0f + 0x1p-11f) + 0x1p-25f * HashUniform(51, i));
  }
  for (const int64_t cols : {4092, 1, 3, 33, 124}) {
    const DeviceRows<float> from(values, cols);
    const DeviceRows<Half> to(4092 / cols, cols);
    LaunchConvert(nullptr, from.view(), to.view());
    std::vector<Half> expected(values.size());
    kScalarRowKernels.half.to_half(values.data(), expected.data(), 4092);
    EXPECT_EQ(Equal(expected, to.Download()), "") << cols;
  }
}

void ExpectThroughCodesAsTheCpu(const std::vector<Half>& values, int64_t cols, float scale,
                                Placing placing) {
  const int64_t rows = static_cast<int64_t>(values.size()) / cols, stride = (cols + 15) / 16 * 16;
  std::vector<Half> expected = values;
  std::vector<int8_t> expected_codes(static_cast<size_t>(rows * stride));
  uint64_t saturated = 5;
  kScalarInt8Kernels.quantize_outputs({.y = expected.data(),
                                       .y_stride = cols,
                                       .rows = rows,
                                       .cols = cols,
                                       .scale = scale,
                                       .inv_scale = 1.0f / scale,
                                       .codes = expected_codes.data(),
                                       .codes_stride = stride,
                                       .saturated = &saturated});
  const DeviceRows<Half> y(values, cols, placing), alone(values, cols, placing);
  const DeviceArray<int8_t> codes(expected_codes.size());
  const DeviceArray<uint64_t> count(std::vector<uint64_t>{5});
  LaunchThroughCodes(nullptr, {.y = y.view(),
                               .scale = scale,
                               .codes = codes.data(),
                               .codes_stride = stride,
                               .saturated = count.data()});
  LaunchThroughCodes(nullptr, {.y = alone.view(),
                               .scale = scale,
                               .codes = nullptr,
                               .codes_stride = 0,
                               .saturated = nullptr});
  EXPECT_EQ(Equal(expected, y.Download()), "") << cols;
  EXPECT_EQ(Equal(expected, alone.Download()), "") << cols;
  EXPECT_EQ(Equal(expected_codes, codes.Download()), "") << cols;
  EXPECT_EQ(count.Download()[0], saturated) << cols;
}

TEST_F(RowKernelsOnDevice, PassOutputsThroughTheirCodesAsTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const Placing placing : kPlacings) {
      ExpectThroughCodesAsTheCpu(RandomRows(5, cols, 52), cols, 0.01f, placing);
    }
  }
  for (const float scale : {1.0f, 3.1e-5f, 511.0f}) {
    ExpectThroughCodesAsTheCpu(EveryPattern(), 1024, scale, {});
  }
}

}  // namespace
}  // namespace w8a8::test
