// Values of slots that show what arithmetic does with the odd ones.
#pragma once

#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

#include "runtime/base/half.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test {

// FP16 values, among them what is not finite, what is subnormal, and -0.
inline std::vector<float> AnyHalves(int64_t count, uint64_t seed) {
  const float special[] = {std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(),
                           65504.0f,
                           -0.0f,
                           0x1p-24f,
                           -0x1.8p-15f};
  std::vector<float> values = RandomHalfFloats(count, seed, 4.0f);
  for (size_t i = 0; i < values.size(); i += 9) values[i] = special[i / 9 % std::size(special)];
  return values;
}

inline std::vector<Half> Halves(const std::vector<float>& values) {
  std::vector<Half> halves(values.size());
  ToHalf(values, halves);
  return halves;
}

}  // namespace w8a8::test
