// A random INT8 product for the sm_90a kernel, what quant/numerics.h says of it, and the
// comparison.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/base/counter_hash.h"
#include "runtime/cuda/wgmma_product.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {

// Random codes, scales and a stream, in rows with padding that holds something else.
struct WgmmaCase {
  WgmmaProduct product;
  std::vector<int8_t> x, w;
  std::vector<float> scale_x, scale_w, bias, layer_scale;
  std::vector<uint16_t> residual;
  std::vector<uint8_t> out;
};

constexpr uint8_t kUntouched = 0xa5;

inline float Uniform(uint64_t seed, int64_t index) {
  return static_cast<float>(CounterHash(seed, static_cast<uint64_t>(index)) >> 40) * 0x1p-24f;
}

inline std::vector<int8_t> RandomCodes(uint64_t seed, int64_t count) {
  std::vector<int8_t> codes(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    codes[static_cast<size_t>(i)] = static_cast<int8_t>(Uniform(seed, i) * 256.0f - 128.0f);
  }
  return codes;
}

inline std::vector<float> RandomFloats(uint64_t seed, int64_t count, float low, float high) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    values[static_cast<size_t>(i)] = low + (high - low) * Uniform(seed, i);
  }
  return values;
}

inline WgmmaCase MakeCase(WgmmaEpilogue epilogue, ActivationKind activation, int32_t m, int32_t n,
                          int32_t k) {
  WgmmaCase made;
  const int64_t row = (int64_t{k} + 15) / 16 * 16 + 16;
  made.x = RandomCodes(1, m * row);
  made.w = RandomCodes(2, n * row);
  const float scale = 3.0f / 5000.0f / std::sqrt(static_cast<float>(k));  // y of a few units
  made.scale_x = RandomFloats(3, m, scale, 2 * scale);
  made.scale_w = RandomFloats(4, n, 0.5f, 1.0f);
  made.bias = RandomFloats(5, n, -1.0f, 1.0f);
  made.layer_scale = RandomFloats(6, n, -2.0f, 2.0f);
  const int64_t values = (int64_t{n} + 7) / 8 * 8 + 8;
  for (const float value : RandomFloats(7, m * values, -4.0f, 4.0f)) {
    made.residual.push_back(ToHalf(value).bits);
  }
  made.scale_x[0] = INFINITY;  // Inf and NaN go through, as the formula says
  made.residual[1] = 0x7e00;
  made.out.assign(static_cast<size_t>(m * values * 2), kUntouched);
  made.product.epilogue = epilogue;
  made.product.x_stride = made.product.w_stride = row;
  made.product.outputs = {.m = m,
                          .n = n,
                          .k = k,
                          .scale_x = made.scale_x.data(),
                          .scale_x_step = 1,
                          .scale_w = made.scale_w.data(),
                          .bias = made.bias.data(),
                          .layer_scale = made.layer_scale.data(),
                          .residual = made.residual.data(),
                          .residual_stride = values,
                          .out = made.out.data(),
                          .out_stride = values * 2,
                          .activation = activation,
                          .inv_scale = 30.0f};
  made.product.x = made.x.data();
  made.product.w = made.w.data();
  return made;
}

inline float PlainActivation(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return GeluErf(x);
    case ActivationKind::kGeluTanh:
      return GeluTanh(x);
    case ActivationKind::kQuickGelu:
      return QuickGelu(x);
    case ActivationKind::kSilu:
      return Silu(x);
  }
  return 0;
}

// The exact products [m, n].
inline std::vector<int32_t> PlainSums(const WgmmaProduct& product) {
  const WgmmaOutputs& o = product.outputs;
  std::vector<int32_t> sums;
  for (int64_t i = 0; i < o.m; ++i) {
    for (int64_t j = 0; j < o.n; ++j) {
      const int8_t* x = product.x + i * product.x_stride;
      const int8_t* w = product.w + j * product.w_stride;
      int32_t sum = 0;
      for (int64_t k = 0; k < o.k; ++k) sum += x[k] * w[k];
      sums.push_back(sum);
    }
  }
  return sums;
}

// The formula of wgmma_product.h, straight from quant/numerics.h: all bytes of the output.
inline std::vector<uint8_t> PlainOutput(const WgmmaCase& given, const std::vector<int32_t>& sums) {
  std::vector<uint8_t> out = given.out;
  const WgmmaProduct& product = given.product;
  const WgmmaOutputs& o = product.outputs;
  for (int64_t i = 0; i < o.m; ++i) {
    for (int64_t j = 0; j < o.n; ++j) {
      const int32_t sum = sums[static_cast<size_t>(i * o.n + j)];
      const float bias = o.bias == nullptr ? 0.0f : o.bias[j];
      Half y = ToHalf(Dequantize(sum, o.scale_w[j], o.scale_x[i * o.scale_x_step], bias));
      uint8_t* row = out.data() + i * o.out_stride;
      if (product.epilogue == WgmmaEpilogue::kCodes) {
        const Half activated = ToHalf(PlainActivation(o.activation, ToFloat(y)));
        row[j] = static_cast<uint8_t>(ActivationCode(ToFloat(activated), o.inv_scale));
        continue;
      }
      if (product.epilogue == WgmmaEpilogue::kResidual) {
        const float layer_scale = o.layer_scale == nullptr ? 1.0f : o.layer_scale[j];
        const Half stream{o.residual[i * o.residual_stride + j]};
        y = ToHalf(Residual(layer_scale, ToFloat(y), ToFloat(stream)));
      }
      std::memcpy(row + j * 2, &y.bits, 2);
    }
  }
  return out;
}
inline std::vector<uint8_t> PlainOutput(const WgmmaCase& given) {
  return PlainOutput(given, PlainSums(given.product));
}

// Values, where they are FP16: any NaN equals any NaN.
inline std::string Compare(WgmmaEpilogue epilogue, const std::vector<uint8_t>& expected,
                           const std::vector<uint8_t>& actual) {
  if (epilogue == WgmmaEpilogue::kCodes) {
    const std::vector<int8_t> a(actual.begin(), actual.end());
    return Equal(std::vector<int8_t>(expected.begin(), expected.end()), a);
  }
  std::vector<Half> a(actual.size() / 2), e(expected.size() / 2);
  std::memcpy(a.data(), actual.data(), actual.size());
  std::memcpy(e.data(), expected.data(), expected.size());
  return Equal(e, a);
}

}  // namespace w8a8::test
