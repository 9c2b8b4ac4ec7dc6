// Made-up rows for tests of the kernels that go row by row.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/base/counter_hash.h"
#include "runtime/base/half.h"
#include "runtime/cuda/plain_codes.h"
#include "tests/cuda/device_matrix.h"
#include "tests/cuda/device_memory.h"

namespace w8a8::test {

constexpr float kNoClipRange = std::numeric_limits<float>::infinity();

// Room for codes of `rows` by the plain quantizer.
struct DevicePlainCodes {
  DevicePlainCodes(int64_t rows, int64_t cols, float static_scale, float clip_range)
      : codes(static_cast<size_t>(rows * ((cols + 15) / 16 * 16))),
        scale(static_cast<size_t>(rows)),
        code_sum(static_cast<size_t>(rows)),
        plain{.clip_range = clip_range,
              .static_scale = static_scale,
              .codes = codes.data(),
              .stride = (cols + 15) / 16 * 16,
              .scale = scale.data(),
              .code_sum = code_sum.data()} {}
  DeviceArray<int8_t> codes;
  DeviceArray<float> scale;
  DeviceArray<int32_t> code_sum;
  PlainCodes plain;
};

// FP16 rows about 2 with subnormals, zeros of both signs and large values; the second row is all
// zeros, and the third and last hold NaN and both infinities.
inline std::vector<Half> RandomRows(int64_t rows, int64_t cols, uint64_t seed) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
  std::vector<Half> values;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const auto i = static_cast<uint64_t>(r * cols + c);
      const uint64_t choice = CounterHash(seed + 1, i) % 32;
      float value = 2.0f * HashUniform(seed, i);
      if (choice == 0) value *= 100.0f;
      if (choice == 1) value *= 0x1p-22f;
      if (choice == 2) value = value < 0.0f ? -0.0f : 0.0f;
      if (r == 1) value = c % 2 == 0 ? 0.0f : -0.0f;
      if ((r == 2 || r == rows - 1) && r > 1 && choice < 6) value = special[choice / 2];
      values.push_back(ToHalf(value));
    }
  }
  return values;
}

inline std::vector<float> RandomFloats(int64_t count, uint64_t seed, float around = 1.0f) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(around + HashUniform(seed, static_cast<uint64_t>(i)));
  }
  return values;
}

}  // namespace w8a8::test
