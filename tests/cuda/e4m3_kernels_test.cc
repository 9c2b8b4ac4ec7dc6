// FP8 rows on the device against the nearest of all values of the format.
#include "runtime/cuda/e4m3_kernels.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/row_kernels.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/stand_in_library.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

// The nearest, the even code of two, the largest beyond all.
uint8_t Nearest(float value) {
  if (std::isnan(value)) return 0x7f;
  uint8_t best = 0;
  for (uint8_t code = 1; code < 0x7f; ++code) {
    const double before = std::abs(double{FromE4m3(best)} - std::abs(value));
    const double now = std::abs(double{FromE4m3(code)} - std::abs(value));
    if (now < before || (now == before && code % 2 == 0)) best = code;
  }
  return static_cast<uint8_t>(std::signbit(value) ? best | 0x80 : best);
}

TEST(E4m3, IsTheNearestForEveryHalf) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = ToFloat(Half{static_cast<uint16_t>(bits)});
    if (std::isinf(value)) continue;
    ASSERT_EQ(ToE4m3(value) & (std::isnan(value) ? 0x7f : 0xff), Nearest(value)) << value;
  }
  EXPECT_EQ(ToE4m3(std::numeric_limits<float>::infinity()), 0x7e);
  EXPECT_EQ(ToE4m3(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(ToE4m3(std::nextafter(0.0625f * 1.0625f, 1.0f)),
            Nearest(std::nextafter(0.0625f * 1.0625f, 1.0f)));
}

class E4m3Kernels : public DeviceTest {};

constexpr float kScale = 0.125f;

std::vector<Half> Values(int64_t count) {
  std::vector<Half> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(ToHalf(static_cast<float>(i * 2654435761 % 20011 - 10000) / 64));
  }
  values[0] = ToHalf(std::numeric_limits<float>::quiet_NaN());
  return values;
}

std::vector<int8_t> Expected(const std::vector<Half>& values, int64_t rows, int64_t stride) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  std::vector<int8_t> codes(static_cast<size_t>(rows * stride));
  for (int64_t i = 0; i < rows * cols; ++i) {
    codes[static_cast<size_t>(i / cols * stride + i % cols)] =
        static_cast<int8_t>(ToE4m3(ToFloat(values[static_cast<size_t>(i)]) * (1 / kScale)));
  }
  return codes;
}

TEST_F(E4m3Kernels, WriteEveryRowAndZerosBehindIt) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 72}, {33, 257}, {3, 1152}}) {
    const std::vector<Half> values = Values(rows * cols);
    const int64_t stride = (cols + 15) / 16 * 16;
    const DeviceArray<Half> x(values);
    const DeviceArray<int8_t> codes(static_cast<size_t>(rows * stride));
    LaunchToE4m3(nullptr, {x.data(), rows, cols, cols},
                 {.static_scale = kScale, .codes = codes.data(), .stride = stride, .e4m3 = true});
    EXPECT_EQ(Equal(Expected(values, rows, stride), codes.Download()), "") << cols;
  }
}

// The step that makes the rows makes the codes of what it stores.
TEST_F(E4m3Kernels, AreThoseOfNormedAndActivatedRows) {
  constexpr int64_t kRows = 5, kCols = 72, kStride = 80;
  std::vector<Half> values = Values(kRows * kCols);
  values[0] = ToHalf(1.0f);
  const DeviceArray<Half> x(values), y(values.size());
  const DeviceArray<int8_t> codes(static_cast<size_t>(kRows * kStride));
  const PlainCodes to{
      .static_scale = kScale, .codes = codes.data(), .stride = kStride, .e4m3 = true};
  const MatView<Half> rows{x.data(), kRows, kCols, kCols}, out{y.data(), kRows, kCols, kCols};
  LaunchNorm(nullptr, NormArgs{.eps = 1e-6f, .x = rows, .y = out, .codes = to});
  EXPECT_EQ(Equal(Expected(y.Download(), kRows, kStride), codes.Download()), "");
  LaunchActivation(nullptr, {.kind = ActivationKind::kGeluErf, .x = rows, .y = out, .codes = to});
  EXPECT_EQ(Equal(Expected(y.Download(), kRows, kStride), codes.Download()), "");
}

}  // namespace
}  // namespace w8a8::test
