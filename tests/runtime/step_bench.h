// Hand-made slots and their contents, for tests of single steps.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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

// Writes values to all rows of the slot, rounded where it is FP16.
inline void SetSlot(Arena& arena, SlotId slot, const std::vector<float>& values,
                    int64_t first_row = 0) {
  if (arena.slot(slot).storage == SlotStorage::kFloat) {
    return arena.Upload(slot, first_row, std::as_bytes(std::span(values)));
  }
  std::vector<Half> rounded(values.size());
  ToHalf(values, rounded);
  arena.Upload(slot, first_row, std::as_bytes(std::span(rounded)));
}

// Image i of a batch holds RandomFloats(seed + first_image + i): a batch and its images alone hold
// the same numbers.
inline void FillSlot(Arena& arena, SlotId slot, uint64_t seed, int64_t first_image = 0,
                     float amplitude = 1.0f) {
  const int64_t rows = arena.slot(slot).rows;
  for (int64_t image = 0; image < arena.inputs().images; ++image) {
    const auto image_seed = seed * 1000 + static_cast<uint64_t>(first_image + image);
    SetSlot(arena, slot, RandomFloats(rows * arena.slot(slot).cols, image_seed, amplitude),
            image * rows);
  }
}

// One image's rows of a slot.
inline MatView<const Half> HalfOf(Arena& arena, SlotId slot, int64_t image) {
  const int64_t rows = arena.slot(slot).rows;
  return arena.HostHalf(slot).RowRange(image * rows, rows);
}

template <class T>
std::vector<T> Copy(MatView<const T> view) {
  std::vector<T> values;
  for (int64_t row = 0; row < view.rows; ++row) {
    values.insert(values.end(), view.row(row), view.row(row) + view.cols);
  }
  return values;
}
template <class T>
std::vector<T> Copy(MatView<T> view) {
  return Copy(MatView<const T>(view));
}

inline std::vector<float> CopyFloats(MatView<const Half> view) {
  std::vector<float> values;
  for (const Half value : Copy(view)) values.push_back(ToFloat(value));
  return values;
}

inline float RoundedToHalf(float value) { return ToFloat(ToHalf(value)); }

}  // namespace w8a8::test
