// Slots on the device, and values that show what arithmetic does with the odd ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "tests/cuda/device_memory.h"
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

// A slot on the device with a gap behind each row (or none), and what a test looks at.
template <class T>
class DeviceSlot {
 public:
  DeviceSlot(int64_t rows, int64_t cols, int64_t gap)
      : rows_(rows), cols_(cols), gap_(gap), memory_(static_cast<size_t>(rows * (cols + gap))) {}
  DeviceSlot(const std::vector<T>& values, int64_t cols, int64_t gap)
      : rows_(static_cast<int64_t>(values.size()) / cols),
        cols_(cols),
        gap_(gap),
        memory_(Spread(values)) {}

  MatView<T> view() const { return {memory_.data(), rows_, cols_, cols_ + gap_}; }
  // The rows without gaps, which nobody may have written.
  std::vector<T> Download() const {
    std::vector<T> values(static_cast<size_t>(rows_ * cols_));
    for (int64_t row = 0; row < rows_; ++row) {
      DeviceRead(reinterpret_cast<const std::byte*>(view().row(row)),
                 &values[static_cast<size_t>(row * cols_)], static_cast<size_t>(cols_) * sizeof(T));
    }
    return values;
  }

 private:
  std::vector<T> Spread(const std::vector<T>& values) const {
    std::vector<T> spread(static_cast<size_t>(rows_ * (cols_ + gap_)));
    for (int64_t row = 0; row < rows_; ++row) {
      std::copy_n(values.begin() + row * cols_, cols_, spread.begin() + row * (cols_ + gap_));
    }
    return spread;
  }

  int64_t rows_, cols_, gap_;
  DeviceArray<T> memory_;
};

}  // namespace w8a8::test
