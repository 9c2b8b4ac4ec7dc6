// Hand-made slots and their contents, for tests of single steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/arena.h"
#include "runtime/base/counter_hash.h"
#include "runtime/steps.h"

namespace w8a8::test {

inline Slot HalfSlot(int64_t rows, int64_t cols) {
  return {.name = "", .rows = rows, .cols = cols};
}
inline Slot FloatSlot(int64_t rows, int64_t cols) {
  return {.name = "", .rows = rows, .cols = cols, .storage = SlotStorage::kFloat};
}
inline Slot CodesSlot(int64_t rows, int64_t cols) {
  return {.name = "", .rows = rows, .cols = cols, .storage = SlotStorage::kCodes};
}

// Uniform in [-amplitude, amplitude), the same for a seed on every machine.
inline std::vector<float> RandomFloats(int64_t count, uint64_t seed, float amplitude = 1.0f) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = amplitude * HashUniform(seed, i);
  return values;
}

// The same, every value representable in FP16.
inline std::vector<float> RandomHalfFloats(int64_t count, uint64_t seed, float amplitude = 1.0f) {
  std::vector<float> values = RandomFloats(count, seed, amplitude);
  for (float& value : values) value = ToFloat(ToHalf(value));
  return values;
}

inline FloatsPtr Shared(std::vector<float> values) {
  return std::make_shared<const std::vector<float>>(std::move(values));
}

// Image i of a batch holds RandomHalfFloats(seed + first_image + i): a batch and its images alone
// hold the same numbers.
inline void FillSlot(const Arena& arena, SlotId slot, uint64_t seed, int64_t first_image = 0,
                     float amplitude = 1.0f) {
  for (int64_t image = 0; image < arena.images(); ++image) {
    const MatView<Half> view = arena.half(slot, image);
    const auto image_seed = seed * 1000 + static_cast<uint64_t>(first_image + image);
    const std::vector<float> values = RandomFloats(view.rows * view.cols, image_seed, amplitude);
    for (size_t i = 0; i < values.size(); ++i) view.data[i] = ToHalf(values[i]);
  }
}

inline std::vector<Half> Copy(MatView<const Half> view) {
  std::vector<Half> values;
  for (int64_t row = 0; row < view.rows; ++row) {
    values.insert(values.end(), view.row(row), view.row(row) + view.cols);
  }
  return values;
}

inline std::vector<float> CopyFloats(MatView<const Half> view) {
  std::vector<float> values;
  for (const Half value : Copy(view)) values.push_back(ToFloat(value));
  return values;
}

inline float RoundedToHalf(float value) { return ToFloat(ToHalf(value)); }

}  // namespace w8a8::test
