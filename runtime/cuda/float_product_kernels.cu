#include "runtime/cuda/block.h"
#include "runtime/cuda/float_product_kernels.h"
#include "runtime/cuda/tensor_tiles.h"

namespace w8a8 {
namespace {

// A block makes kTile x kTile outputs from kStep inputs at a time; a thread 4 x 4 of them.
constexpr int kTile = 64;
constexpr int kStep = 16;
constexpr int kEach = 4;
constexpr int kAcross = kTile / kEach;
constexpr int kThreads = kAcross * kAcross;
// Inputs stand in rows of a tile's rows, so that a thread's four lie together; four floats more
// from row to row part the banks of those that are stored at once.
constexpr int kSharedStride = kTile + 4;

W8A8_DEVICE float Wide(Half value) { return Widen(value); }
W8A8_DEVICE float Wide(float value) { return value; }
W8A8_DEVICE float Wide(int8_t value) { return static_cast<float>(value); }

// kStep inputs of kTile rows, zeros outside the matrix.
template <class T>
W8A8_DEVICE void Put(const T* from, int64_t rows, int64_t cols, int64_t stride, int64_t first_row,
                     int64_t first_col, float* shared) {
  for (int at = ThreadIndex(); at < kTile * kStep; at += kThreads) {
    const int64_t row = first_row + at / kStep, col = first_col + at % kStep;
    float value = 0.0f;
    if (row < rows && col < cols) value = Wide(Load(&from[row * stride + col]));
    Store(&shared[at % kStep * kSharedStride + at / kStep], value);
  }
}

W8A8_DEVICE void StoreOutput(const FloatProductArgs& args, int64_t row, int64_t col, float sum) {
  if (row >= args.m || col >= args.n) return;
  const float y = args.bias == nullptr ? sum : sum + Load(&args.bias[col]);
  const int64_t at = row * args.y_stride + col;
  if (args.half != nullptr) {
    Store(&args.half[at], Narrow(y));
  } else {
    Store(&args.floats[at], y);
  }
}

template <class X, class W>
W8A8_KERNEL void FmaProduct(FloatProductArgs args) {
  const auto* const x = static_cast<const X*>(args.x.data);
  const auto* const weight = static_cast<const W*>(args.weight.data);
  const int64_t first_row = BlockIndexY() * kTile, first_col = BlockIndex() * kTile;
  const int row = ThreadIndex() / kAcross * kEach, col = ThreadIndex() % kAcross * kEach;
  float* const of_x = SharedAs<float>(0);
  float* const of_weight = of_x + kStep * kSharedStride;
  float sum[kEach][kEach] = {};
  for (int64_t k = 0; k < args.k; k += kStep) {
    Put(x, args.m, args.k, args.x_stride, first_row, k, of_x);
    Put(weight, args.n, args.k, args.weight_stride, first_col, k, of_weight);
    SyncThreads();
    for (int i = 0; i < kStep; ++i) {
      float a[kEach], b[kEach];
      for (int e = 0; e < kEach; ++e) a[e] = Load(&of_x[i * kSharedStride + row + e]);
      for (int e = 0; e < kEach; ++e) b[e] = Load(&of_weight[i * kSharedStride + col + e]);
      for (int r = 0; r < kEach; ++r) {
        for (int c = 0; c < kEach; ++c) sum[r][c] = Fma(a[r], b[c], sum[r][c]);
      }
    }
    SyncThreads();
  }
  for (int r = 0; r < kEach; ++r) {
    for (int c = 0; c < kEach; ++c) {
      StoreOutput(args, first_row + row + r, first_col + col + c, sum[r][c]);
    }
  }
}

tensor::Operand OperandOf(const Elements& elements, int64_t rows, int64_t k, int64_t stride) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Half));
  return {static_cast<const std::byte*>(elements.data), rows, PaddedHalves(k) * kBytes,
          stride * kBytes};
}

W8A8_KERNEL void TensorProduct(FloatProductArgs args, tensor::Operand x, tensor::Operand weight) {
  tensor::MultiplyTile<float>(
      x, weight, [&](int64_t row, int64_t col, float sum) { StoreOutput(args, row, col, sum); });
}

bool IsAligned(const Elements& elements, int64_t k, int64_t stride) {
  return elements.type == Element::kHalf && reinterpret_cast<uintptr_t>(elements.data) % 16 == 0 &&
         stride % kHalvesAlignment == 0 && stride >= k;
}

using KernelOfProduct = void (*)(FloatProductArgs);

template <class X>
KernelOfProduct KernelFor(Element weight) {
  return weight == Element::kHalf ? FmaProduct<X, Half> : FmaProduct<X, float>;
}

}  // namespace

void LaunchFmaProduct(Queue queue, const FloatProductArgs& args) {
  KernelOfProduct kernel = args.x.type == Element::kHalf ? KernelFor<Half>(args.weight.type)
                                                         : KernelFor<float>(args.weight.type);
  if (args.x.type == Element::kCode) kernel = FmaProduct<int8_t, int8_t>;
  Launch(queue,
         {.blocks = (args.n + kTile - 1) / kTile,
          .blocks_y = (args.m + kTile - 1) / kTile,
          .threads = kThreads,
          .shared_bytes = 2 * kStep * kSharedStride * sizeof(float)},
         kernel, args);
}

void LaunchFloatProduct(Queue queue, const FloatProductArgs& args) {
  if (!IsAligned(args.x, args.k, args.x_stride) ||
      !IsAligned(args.weight, args.k, args.weight_stride)) {
    return LaunchFmaProduct(queue, args);
  }
  Launch(queue, tensor::ShapeOf(args.m, args.n), TensorProduct, args,
         OperandOf(args.x, args.m, args.k, args.x_stride),
         OperandOf(args.weight, args.n, args.k, args.weight_stride));
}

}  // namespace w8a8
