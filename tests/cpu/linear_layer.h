// A layer's tensors as values, and `linear` run on them in this process.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/half.h"
#include "runtime/base/safetensors.h"
#include "tests/support/environment.h"

namespace w8a8::test {

using Flags = std::vector<std::string>;
using Shape = std::vector<int64_t>;

// A tensor as it goes to the file.
struct Tensor {
  Dtype dtype = Dtype::kF32;
  Shape shape;
  std::vector<std::byte> bytes;
};
using LayerTensors = std::map<std::string, Tensor>;

template <class T>
Tensor TensorOf(Dtype dtype, Shape shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

inline Tensor Floats(Shape shape, const std::vector<float>& values) {
  return TensorOf(Dtype::kF32, std::move(shape), values);
}
inline Tensor Codes(Shape shape, const std::vector<int8_t>& values) {
  return TensorOf(Dtype::kI8, std::move(shape), values);
}
inline Tensor Words(Shape shape, const std::vector<int32_t>& values) {
  return TensorOf(Dtype::kI32, std::move(shape), values);
}
inline Tensor Halves(Shape shape, const std::vector<float>& values) {
  std::vector<Half> halves;
  for (const float value : values) halves.push_back(ToHalf(value));
  return TensorOf(Dtype::kF16, std::move(shape), halves);
}
inline Tensor Brains(Shape shape, const std::vector<float>& values) {
  std::vector<BFloat16> brains;
  for (const float value : values) brains.push_back(ToBFloat16(value));
  return TensorOf(Dtype::kBF16, std::move(shape), brains);
}
inline Tensor Filled(Shape shape, float value) {
  const auto count = static_cast<size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1));
  return Floats(std::move(shape), std::vector<float>(count, value));
}

// Runs `linear` on one layer after the other.
class LinearRunner {
 public:
  explicit LinearRunner(const std::string& test) : folder_(ScratchFolder(test)) {}

  // What the program would print: "usage: …" with exit 2, another message with exit 1, or "".
  std::string Run(const LayerTensors& tensors, Flags flags) const;
  // What it wrote; it must not refuse.
  SafetensorsFile Output(const LayerTensors& tensors, const Flags& flags) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace w8a8::test
