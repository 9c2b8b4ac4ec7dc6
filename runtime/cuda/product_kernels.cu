#include "runtime/cuda/block.h"
#include "runtime/cuda/product_kernels.h"
#include "runtime/cuda/product_output.h"
#include "runtime/cuda/tensor_tiles.h"

namespace w8a8 {
namespace {

// ---- tensor cores ----

template <ProductOutput kOutput>
W8A8_KERNEL void Product(ProductArgs args) {
  const int64_t bytes = PaddedCodes(args.k);
  const tensor::Operand x{reinterpret_cast<const std::byte*>(args.x), args.m, bytes, args.x_stride};
  const tensor::Operand weight{reinterpret_cast<const std::byte*>(args.weight), args.n, bytes,
                               args.weight_stride};
  tensor::MultiplyTile<int32_t>(x, weight, [&](int64_t row, int64_t col, int32_t acc) {
    StoreProduct<kOutput>(args, row, col, acc);
  });
}

// ---- every other scheme ----

// A block makes kSmall x kSmall outputs, one a thread, from kChunk inputs of its rows and columns
// in shared memory. 4 bytes more from row to row keep the columns' bytes in different banks.
constexpr int kSmall = 16;
constexpr int kSmallThreads = kSmall * kSmall;
constexpr int kChunk = 64;
constexpr int kChunkStride = kChunk + 4;

// Inputs from `first_input` on of kSmall rows, T of any kind, zeros outside the matrix.
template <class T>
W8A8_DEVICE void PutChunk(const T* from, int64_t rows, int64_t cols, int64_t stride,
                          int64_t first_row, int64_t first_input, T* shared) {
  for (int at = ThreadIndex(); at < kSmall * kChunk; at += kSmallThreads) {
    const int64_t row = first_row + at / kChunk, input = first_input + at % kChunk;
    T value{};
    if (row < rows && input < cols) value = Load(&from[row * stride + input]);
    Store(&shared[at / kChunk * kChunkStride + at % kChunk], value);
  }
}

struct Output {
  int64_t row, col;
  bool inside;
};

W8A8_DEVICE Output OutputOfThread(int64_t m, int64_t n) {
  const int64_t row = BlockIndexY() * kSmall + ThreadIndex() / kSmall;
  const int64_t col = BlockIndex() * kSmall + ThreadIndex() % kSmall;
  return {row, col, row < m && col < n};
}

// t with one more group's accumulator.
W8A8_DEVICE float AddGroup(const GroupedProductArgs& args, const Output& out, int64_t groups,
                           int64_t g, int32_t acc, float t) {
  const ProductArgs& p = args.product;
  if (p.acc != nullptr) Store(&p.acc[(g * args.acc_rows + out.row) * p.n + out.col], acc);
  const float value = static_cast<float>(acc);
  if (args.scales == GroupScales::kInputs) {
    return Fma(value, Load(&p.scale_x[out.row * groups + g]), t);
  }
  const float scale_w = Load(&p.scale_w[(args.scale_groups_w > 1 ? g : 0) * p.n + out.col]);
  if (args.scales == GroupScales::kWeights) return Fma(value, scale_w, t);
  return Fma(value * Load(&p.scale_x[out.row * groups + g]), scale_w, t);
}

W8A8_DEVICE void StoreGrouped(const GroupedProductArgs& args, const Output& out, float t) {
  const ProductArgs& p = args.product;
  const float bias = BiasOf(p.bias, out.col);
  float y = t + bias;
  if (args.scales == GroupScales::kInputs) y = Fma(t, Load(&p.scale_w[out.col]), bias);
  if (args.scales == GroupScales::kWeights) y = Fma(t, Load(&p.scale_x[out.row]), bias);
  Store(&p.y[out.row * p.y_stride + out.col], Narrow(y));
}

W8A8_KERNEL void GroupedProduct(GroupedProductArgs args) {
  const ProductArgs& p = args.product;
  const Output out = OutputOfThread(p.m, p.n);
  const int64_t groups = (p.k + args.group - 1) / args.group;
  int8_t* const x = SharedAs<int8_t>(0);
  int8_t* const weight = x + kSmall * kChunkStride;
  const int8_t* const own_x = x + ThreadIndex() / kSmall * kChunkStride;
  const int8_t* const own_weight = weight + ThreadIndex() % kSmall * kChunkStride;
  const int32_t zero_x =
      out.inside && args.zero_point_x != nullptr ? Load(&args.zero_point_x[out.row]) : 0;
  int32_t zero_w = 0, acc = 0;
  float t = 0.0f;
  for (int64_t first = 0; first < p.k; first += kChunk) {
    PutChunk(p.x, p.m, p.k, p.x_stride, BlockIndexY() * kSmall, first, x);
    PutChunk(p.weight, p.n, p.k, p.weight_stride, BlockIndex() * kSmall, first, weight);
    SyncThreads();
    const int64_t end = first + kChunk < p.k ? first + kChunk : p.k;
    for (int64_t k = first; out.inside && k < end; ++k) {
      const int64_t g = k / args.group;
      if (k == g * args.group && args.zero_point_w != nullptr) {
        zero_w = Load(&args.zero_point_w[g * p.n + out.col]);
      }
      acc += (Load(&own_x[k - first]) - zero_x) * (Load(&own_weight[k - first]) - zero_w);
      if (k + 1 == (g + 1) * args.group || k + 1 == p.k) {
        t = AddGroup(args, out, groups, g, acc, t);
        acc = 0;
      }
    }
    SyncThreads();
  }
  if (out.inside) StoreGrouped(args, out, t);
}

W8A8_DEVICE int32_t DotProduct(const int8_t* x, const int8_t* weight, int64_t padded_inputs) {
  int32_t acc = 0;
  for (int64_t k = 0; k < padded_inputs; k += 16) {
    const Vec16 a = Load(reinterpret_cast<const Vec16*>(x + k));
    const Vec16 b = Load(reinterpret_cast<const Vec16*>(weight + k));
    for (int i = 0; i < 4; ++i) acc = Dp4a(a.words[i], b.words[i], acc);
  }
  return acc;
}

// A thread an output of the first rows.
W8A8_KERNEL void TwiceProduct(TwiceProductArgs args) {
  const ProductArgs& p = args.product;
  const int64_t col = BlockIndex() * BlockThreads() + ThreadIndex();
  if (col >= p.n) return;
  const int64_t image = BlockIndexY(), row = image * args.rows_per_image, second = p.m + image;
  const int8_t* const weight = p.weight + col * p.weight_stride;
  const float scale_w = Load(&p.scale_w[col]);
  const int32_t first_acc = DotProduct(p.x + row * p.x_stride, weight, PaddedCodes(p.k));
  const int32_t second_acc = DotProduct(p.x + second * p.x_stride, weight, PaddedCodes(p.k));
  const float first = Dequantize(first_acc, scale_w, Load(&p.scale_x[row]), BiasOf(p.bias, col));
  const float y = Dequantize(second_acc, scale_w, Load(&p.scale_x[second]), first);
  Store(&p.y[row * p.y_stride + col], Narrow(y));
  if (p.acc != nullptr) Store(&p.acc[second * p.n + col], second_acc);
}

W8A8_KERNEL void WeightOnlyProduct(WeightOnlyProductArgs args) {
  const Output out = OutputOfThread(args.m, args.n);
  Half* const x = SharedAs<Half>(0);
  int8_t* const weight = reinterpret_cast<int8_t*>(x + kSmall * kChunkStride);
  const Half* const own_x = x + ThreadIndex() / kSmall * kChunkStride;
  const int8_t* const own_weight = weight + ThreadIndex() % kSmall * kChunkStride;
  int32_t zero_w = 0;
  float acc = 0.0f, t = 0.0f;
  for (int64_t first = 0; first < args.k; first += kChunk) {
    PutChunk(args.x, args.m, args.k, args.x_stride, BlockIndexY() * kSmall, first, x);
    PutChunk(args.weight, args.n, args.k, args.weight_stride, BlockIndex() * kSmall, first, weight);
    SyncThreads();
    const int64_t end = first + kChunk < args.k ? first + kChunk : args.k;
    for (int64_t k = first; out.inside && k < end; ++k) {
      const int64_t g = k / args.group;
      if (k == g * args.group && args.zero_point_w != nullptr) {
        zero_w = Load(&args.zero_point_w[g * args.n + out.col]);
      }
      const int32_t code = Load(&own_weight[k - first]) - zero_w;
      acc = Fma(Widen(Load(&own_x[k - first])), static_cast<float>(code), acc);
      if (k + 1 == (g + 1) * args.group || k + 1 == args.k) {
        const int64_t scale_group = args.scale_groups_w > 1 ? g : 0;
        t = Fma(acc, Load(&args.scale_w[scale_group * args.n + out.col]), t);
        acc = 0.0f;
      }
    }
    SyncThreads();
  }
  if (!out.inside) return;
  Store(&args.y[out.row * args.y_stride + out.col], Narrow(t + BiasOf(args.bias, out.col)));
}

constexpr int64_t TilesOf(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

}  // namespace

void LaunchProduct(Queue queue, const ProductArgs& args) {
  const LaunchShape shape = tensor::ShapeOf(args.m, args.n);
  switch (args.output) {
    case ProductOutput::kHalf:
      return Launch(queue, shape, Product<ProductOutput::kHalf>, args);
    case ProductOutput::kResidual:
      return Launch(queue, shape, Product<ProductOutput::kResidual>, args);
    case ProductOutput::kCodes:
      return Launch(queue, shape, Product<ProductOutput::kCodes>, args);
  }
}

void LaunchGroupedProduct(Queue queue, const GroupedProductArgs& args) {
  Launch(queue,
         {.blocks = TilesOf(args.product.n, kSmall),
          .blocks_y = TilesOf(args.product.m, kSmall),
          .threads = kSmallThreads,
          .shared_bytes = 2 * kSmall * kChunkStride},
         GroupedProduct, args);
}

void LaunchTwiceProduct(Queue queue, const TwiceProductArgs& args) {
  constexpr int kColumns = 64;
  Launch(queue,
         {.blocks = TilesOf(args.product.n, kColumns),
          .blocks_y = args.images,
          .threads = kColumns,
          .shared_bytes = 0},
         TwiceProduct, args);
}

void LaunchWeightOnlyProduct(Queue queue, const WeightOnlyProductArgs& args) {
  Launch(queue,
         {.blocks = TilesOf(args.n, kSmall),
          .blocks_y = TilesOf(args.m, kSmall),
          .threads = kSmallThreads,
          .shared_bytes = kSmall * kChunkStride * (sizeof(Half) + 1)},
         WeightOnlyProduct, args);
}

}  // namespace w8a8
