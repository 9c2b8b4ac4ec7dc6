#include "runtime/cuda/block.h"
#include "runtime/cuda/epilogue_kernels.h"
#include "runtime/cuda/product_output.h"

namespace w8a8 {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kColumnsOfBlock = 4 * kThreads;

// Blocks for rows of `cols` elements, a row each in the second dimension.
LaunchShape ShapeOf(int64_t rows, int64_t cols) {
  return {.blocks = (cols + kColumnsOfBlock - 1) / kColumnsOfBlock,
          .blocks_y = rows,
          .threads = kThreads,
          .shared_bytes = 0};
}

template <class Element>
W8A8_DEVICE void ForEachColumn(int64_t cols, const Element& element) {
  const int64_t first = BlockIndex() * kColumnsOfBlock;
  const int64_t end = first + kColumnsOfBlock < cols ? first + kColumnsOfBlock : cols;
  for (int64_t col = first + ThreadIndex(); col < end; col += kThreads) element(col);
}

template <ProductOutput kOutput>
W8A8_KERNEL void DequantizeRows(const int32_t* sums, ProductArgs args, int64_t first_row) {
  const int64_t row = first_row + BlockIndexY();
  ForEachColumn(OutputColumns<kOutput>(args), [&](int64_t col) {
    const int32_t acc = col < args.n ? Load(&sums[row * args.n + col]) : 0;
    StoreProduct<kOutput>(args, row, col, acc);
  });
}

W8A8_KERNEL void FinishFloats(const float* sums, FloatProductArgs args, int64_t first_row) {
  const int64_t row = first_row + BlockIndexY();
  ForEachColumn(args.n, [&](int64_t col) {
    const float sum = Load(&sums[row * args.n + col]);
    const float y = args.bias == nullptr ? sum : sum + Load(&args.bias[col]);
    if (args.half != nullptr) {
      Store(&args.half[row * args.y_stride + col], Narrow(y));
    } else {
      Store(&args.floats[row * args.y_stride + col], y);
    }
  });
}

W8A8_KERNEL void Repeat(float value, int64_t count, float* to) {
  const int64_t i = BlockIndex() * kThreads + ThreadIndex();
  if (i < count) Store(&to[i], value);
}

// The second dimension of a grid has at most 65,535 blocks.
constexpr int64_t kMostRows = 65535;

template <class Args, class Kernel, class Sum>
void ForRows(Queue queue, const Kernel& kernel, const Sum* sums, const Args& args, int64_t cols) {
  for (int64_t first = 0; first < args.m; first += kMostRows) {
    const int64_t count = args.m - first < kMostRows ? args.m - first : kMostRows;
    Launch(queue, ShapeOf(count, cols), kernel, sums, args, first);
  }
}

}  // namespace

void LaunchDequantize(Queue queue, const int32_t* sums, const ProductArgs& args) {
  const auto run = [&]<ProductOutput kOutput>() {
    ForRows(queue, DequantizeRows<kOutput>, sums, args, OutputColumns<kOutput>(args));
  };
  switch (args.output) {
    case ProductOutput::kHalf:
      return run.operator()<ProductOutput::kHalf>();
    case ProductOutput::kResidual:
      return run.operator()<ProductOutput::kResidual>();
    case ProductOutput::kCodes:
      return run.operator()<ProductOutput::kCodes>();
  }
}

void LaunchRepeat(Queue queue, float value, int64_t count, float* to) {
  Launch(queue, {.blocks = (count + kThreads - 1) / kThreads, .threads = kThreads}, Repeat, value,
         count, to);
}

void LaunchFinishFloats(Queue queue, const float* sums, const FloatProductArgs& args) {
  ForRows(queue, FinishFloats, sums, args, args.n);
}

}  // namespace w8a8
