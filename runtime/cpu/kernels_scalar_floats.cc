// Float products, one element after the other.
#include <algorithm>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/scalar_attention.h"

namespace w8a8 {
namespace {

// Operands are binary32 rows, weights [k, n].
int64_t OperandBytes(int64_t k) { return RoundUp(k * int64_t{sizeof(float)}, 64); }
int64_t PackedBytes(int64_t n, int64_t k) { return n * k * int64_t{sizeof(float)}; }
int64_t ScratchBytes(int64_t /*m*/, int64_t /*n*/, int64_t /*k*/) { return 0; }

void LoadHalves(const Half* x, int64_t k, void* operand) {
  for (int64_t i = 0; i < k; ++i) static_cast<float*>(operand)[i] = ToFloat(x[i]);
}

void LoadFloats(const float* x, int64_t k, void* operand) {
  std::copy_n(x, k, static_cast<float*>(operand));
}

void Pack(const float* weight, int64_t n, int64_t k, void* packed) {
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < k; ++i) static_cast<float*>(packed)[i * n + j] = weight[j * k + i];
  }
}

void StoreSum(const MultiplyFloatsArgs& args, int64_t at, float value) {
  if (args.type == OutputType::kHalf) {
    static_cast<Half*>(args.y)[at] = ToHalf(value);
  } else {
    static_cast<float*>(args.y)[at] = value;
  }
}

// Columns side by side, so that a compiler may use what vectors there are.
void Multiply(const MultiplyFloatsArgs& args) {
  constexpr int64_t kCols = 64;
  const auto* weight = static_cast<const float*>(args.packed_weight);
  for (int64_t i = 0; i < args.m; ++i) {
    const auto* x =
        reinterpret_cast<const float*>(static_cast<const char*>(args.x) + i * args.x_stride_bytes);
    for (int64_t first = 0; first < args.n; first += kCols) {
      const int64_t cols = std::min(kCols, args.n - first);
      float sums[kCols] = {};
      for (int64_t k = 0; k < args.k; ++k) {
        const float* w = weight + k * args.n + first;
        for (int64_t j = 0; j < cols; ++j) sums[j] += x[k] * w[j];
      }
      for (int64_t j = 0; j < cols; ++j) {
        const float bias = args.bias != nullptr ? args.bias[first + j] : 0.0f;
        StoreSum(args, i * args.y_stride + first + j, sums[j] + bias);
      }
    }
  }
}

constexpr FloatProduct kProduct = {.name = "FP32, plain loops",
                                   .operand_bytes = OperandBytes,
                                   .packed_bytes = PackedBytes,
                                   .rows_at_once = 64,
                                   .scratch_bytes = ScratchBytes,
                                   .load_halves = LoadHalves,
                                   .load_floats = LoadFloats,
                                   .pack = Pack,
                                   .multiply = Multiply};

}  // namespace

const FloatKernels kScalarFloatKernels = {
    .half = kProduct,
    .wide = kProduct,
    .attention = {&kScalarFp32Attention, &kScalarBf16Attention, &kScalarInt8Attention}};

}  // namespace w8a8
