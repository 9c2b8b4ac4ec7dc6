// Norms and the residual step, with the order of sums that numerics.md fixes.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/numerics.h"
#include "runtime/cpu/kernels_scalar.h"

namespace w8a8::scalar {
namespace {

constexpr int64_t kSums = 256;  // element k goes to partial sum k mod 256

// The fixed tree over the 256 partial sums; overwrites them.
W8A8_ALWAYS_INLINE float CombineSums(float* s) {
  for (int h = 4; h >= 1; h /= 2) {
    for (int i = 0; i < kSums; i += 8) {
      for (int j = 0; j < h; ++j) s[i + j] += s[i + j + h];
    }
  }
  for (int h = 128; h >= 8; h /= 2) {
    for (int i = 0; i < h; i += 8) s[i] += s[i + h];
  }
  return s[0];
}

W8A8_ALWAYS_INLINE void Load(const Half* from, float* to, int64_t count) {
  FloatFromHalf(from, to, count);
}
W8A8_ALWAYS_INLINE void Load(const float* from, float* to, int64_t count) {
  std::copy_n(from, count, to);
}
W8A8_ALWAYS_INLINE void Store(const float* from, Half* to, int64_t count) {
  HalfFromFloat(from, to, count);
}
W8A8_ALWAYS_INLINE void Store(const float* from, float* to, int64_t count) {
  std::copy_n(from, count, to);
}

// Calls body(values, begin, count) on blocks of 256 elements of a row, widened to binary32.
template <class T, class Body>
W8A8_ALWAYS_INLINE void ForBlocks(const T* x, int64_t cols, const Body& body) {
  for (int64_t begin = 0; begin < cols; begin += kSums) {
    const int64_t count = std::min(kSums, cols - begin);
    float values[kSums];
    Load(x + begin, values, count);
    body(values, begin, count);
  }
}

template <class T>
W8A8_ALWAYS_INLINE float RowMean(const T* x, int64_t cols) {
  float sums[kSums] = {};
  ForBlocks(x, cols, [&](const float* values, int64_t, int64_t count) {
    for (int64_t i = 0; i < count; ++i) sums[i] += values[i];
  });
  return CombineSums(sums) / static_cast<float>(cols);
}

// sum((x - mean)^2) / cols; RMSNorm passes mean 0, which leaves x as it is (x - 0 = x).
template <class T>
W8A8_ALWAYS_INLINE float RowVariance(const T* x, int64_t cols, float mean) {
  float sums[kSums] = {};
  ForBlocks(x, cols, [&](const float* values, int64_t, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const float d = values[i] - mean;
      sums[i] = Fma(d, d, sums[i]);
    }
  });
  return CombineSums(sums) / static_cast<float>(cols);
}

template <class T>
W8A8_ALWAYS_INLINE void LayerNormRowsBody(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    const float mean = RowMean(x, args.cols);
    const float inv_std = 1.0f / std::sqrt(RowVariance(x, args.cols, mean) + args.eps);
    ForBlocks(x, args.cols, [&](float* values, int64_t begin, int64_t count) {
      const float* weight = args.weight + begin;
      const float* bias = args.bias + begin;
      for (int64_t i = 0; i < count; ++i) {
        values[i] = Fma((values[i] - mean) * inv_std, weight[i], bias[i]);
      }
      HalfFromFloat(values, y + begin, count);
    });
  }
}

template <class T>
W8A8_ALWAYS_INLINE void RmsNormRowsBody(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    const float inv_std = 1.0f / std::sqrt(RowVariance(x, args.cols, 0.0f) + args.eps);
    ForBlocks(x, args.cols, [&](float* values, int64_t begin, int64_t count) {
      const float* weight = args.weight + begin;
      for (int64_t i = 0; i < count; ++i) values[i] = (values[i] * inv_std) * weight[i];
      HalfFromFloat(values, y + begin, count);
    });
  }
}

template <class T>
W8A8_ALWAYS_INLINE void AddResidualBody(const AddResidualArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    T* stream = args.stream + r * args.stream_stride;
    ForBlocks(args.y + r * args.y_stride, args.cols,
              [&](const float* y, int64_t begin, int64_t count) {
                float values[kSums];
                Load(stream + begin, values, count);
                for (int64_t i = 0; i < count; ++i) {
                  const float scale = args.layer_scale ? args.layer_scale[begin + i] : 1.0f;
                  values[i] = Residual(scale, y[i], values[i]);
                }
                Store(values, stream + begin, count);
              });
  }
}

W8A8_ALWAYS_INLINE void LayerNormFloatRowsBody(const NormFloatRowsArgs& args) {
  LayerNormRowsBody(args);
}
W8A8_ALWAYS_INLINE void RmsNormFloatRowsBody(const NormFloatRowsArgs& args) {
  RmsNormRowsBody(args);
}
W8A8_ALWAYS_INLINE void AddFloatResidualBody(const AddFloatResidualArgs& args) {
  AddResidualBody(args);
}

}  // namespace

W8A8_TWO_CLONES(LayerNormRows, NormRowsArgs)
W8A8_TWO_CLONES(RmsNormRows, NormRowsArgs)
W8A8_TWO_CLONES(AddResidual, AddResidualArgs)
W8A8_TWO_CLONES(LayerNormFloatRows, NormFloatRowsArgs)
W8A8_TWO_CLONES(RmsNormFloatRows, NormFloatRowsArgs)
W8A8_TWO_CLONES(AddFloatResidual, AddFloatResidualArgs)

void FloatFromHalf(const Half* from, float* to, int64_t count) {
  ToFloat({from, static_cast<size_t>(count)}, {to, static_cast<size_t>(count)});
}

void HalfFromFloat(const float* from, Half* to, int64_t count) {
  ToHalf({from, static_cast<size_t>(count)}, {to, static_cast<size_t>(count)});
}

}  // namespace w8a8::scalar
