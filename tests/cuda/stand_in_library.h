// A library of matrix products in plain C++ on the memory of whatever runs the kernels of a test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "quant/numerics.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/e4m3.h"
#include "runtime/cuda/product_library.h"

namespace w8a8::test {

// By the definition of the format: bias 7, subnormals at exponent 0, one NaN.
inline float FromE4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if ((code & 0x7f) == 0x7f) value = std::nanf("");
  return code >= 0x80 ? -value : value;
}

class StandInLibrary final : public ProductLibrary {
 public:
  using Kind = LibraryProduct::Kind;
  using Takes = std::function<bool(const LibraryProduct&)>;
  // `log` gets every product that was made.
  StandInLibrary(std::vector<LibraryProduct>* log, Takes takes)
      : log_(log), takes_(std::move(takes)) {}

  bool fits_graphs() const override { return false; }
  bool Multiply(Queue queue, const LibraryProduct& p) override {
    if (!takes_(p)) return false;
    const bool fp8 = p.kind == Kind::kFp8ToHalf || p.kind == Kind::kFp8ToFp8;
    const float scale = fp8 ? One(queue, p.x_scale) * One(queue, p.weight_scale) : 1.0f;
    const std::vector<float> x = Operand(queue, fp8, p.x, p.m, p.x_stride);
    const std::vector<float> w = Operand(queue, fp8, p.weight, p.n, p.weight_stride);
    std::vector<Half> bias(static_cast<size_t>(p.n));
    if (p.bias != nullptr) Read(queue, p.bias, &bias);
    std::vector<Half> y(static_cast<size_t>(p.m * p.n));
    if (p.add) Read(queue, static_cast<const Half*>(p.y), &y);
    std::vector<uint8_t> codes(y.size());
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        const auto at = static_cast<size_t>(i * p.n + j);
        float sum = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          sum += x[static_cast<size_t>(i * p.x_stride + k)] *
                 w[static_cast<size_t>(j * p.weight_stride + k)];
        }
        sum = sum * scale + ToFloat(y[at]) + ToFloat(bias[static_cast<size_t>(j)]);
        if (p.gelu)
          sum = 0.5f * sum * (1 + std::tanh(0.7978846f * (sum + 0.044715f * sum * sum * sum)));
        y[at] = ToHalf(sum);
        if (p.kind == Kind::kFp8ToFp8) codes[at] = ToE4m3(sum * One(queue, p.y_inv_scale));
      }
    }
    auto* const to = static_cast<std::byte*>(p.y);
    if (p.kind == Kind::kFp8ToFp8) {
      CopyToDevice(queue, to, codes.data(), codes.size());
    } else {
      CopyToDevice(queue, to, y.data(), y.size() * sizeof(Half));
    }
    log_->push_back(p);
    return true;
  }

 private:
  template <class T>
  static void Read(Queue queue, const T* from, std::vector<T>* to) {
    CopyToHost(queue, to->data(), reinterpret_cast<const std::byte*>(from), to->size() * sizeof(T));
  }
  static float One(Queue queue, const float* from) {
    std::vector<float> value(1);
    Read(queue, from, &value);
    return value[0];
  }
  static std::vector<float> Operand(Queue queue, bool fp8, const void* from, int64_t rows,
                                    int64_t stride) {
    const auto count = static_cast<size_t>(rows * stride);
    std::vector<float> values(count);
    if (fp8) {
      std::vector<uint8_t> codes(count);
      Read(queue, static_cast<const uint8_t*>(from), &codes);
      std::ranges::transform(codes, values.begin(), FromE4m3);
    } else {
      std::vector<Half> half(count);
      Read(queue, static_cast<const Half*>(from), &half);
      std::ranges::transform(half, values.begin(), [](Half value) { return ToFloat(value); });
    }
    return values;
  }

  std::vector<LibraryProduct>* const log_;
  const Takes takes_;
};

}  // namespace w8a8::test
