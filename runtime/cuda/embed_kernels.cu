#include <algorithm>
#include <cmath>

#include "runtime/cuda/block.h"
#include "runtime/cuda/embed_kernels.h"

namespace w8a8 {
namespace {

// A block for each row; its threads stand side by side in the columns.
constexpr int64_t kMostThreads = 256;

LaunchShape BlockPerRow(int64_t rows, int64_t cols) {
  const int64_t warps = (cols + kWarpLanes - 1) / kWarpLanes;
  const int64_t most = kMostThreads / kWarpLanes;
  return {.blocks = rows,
          .threads = static_cast<int>(std::clamp<int64_t>(warps, 1, most)) * kWarpLanes};
}

// function(row, col) for each element of a block's row.
template <class Function>
W8A8_DEVICE void ForEachColumn(int64_t cols, const Function& function) {
  for (int64_t col = ThreadIndex(); col < cols; col += BlockThreads()) {
    function(BlockIndex(), col);
  }
}

W8A8_DEVICE void StoreRounded(Half* to, float value) { Store(to, Narrow(value)); }
W8A8_DEVICE void StoreRounded(float* to, float value) { Store(to, value); }

// ---- embedding ----

W8A8_KERNEL void GatherPatches(GatherPatchesArgs args) {
  const int64_t grid_cols = args.image_width / args.patch;
  const int64_t patches = args.image_height / args.patch * grid_cols;
  ForEachColumn(args.out.cols, [&](int64_t row, int64_t col) {
    const int64_t image = row / patches, patch = row % patches;
    const int64_t channel = col / (args.patch * args.patch);
    const int64_t y = patch / grid_cols * args.patch + col / args.patch % args.patch;
    const int64_t x = patch % grid_cols * args.patch + col % args.patch;
    const float* pixels = args.pixels.data + (image * args.channels + channel) * args.pixels.stride;
    StoreRounded(&args.out.data[row * args.out.stride + col],
                 Load(&pixels[y * args.image_width + x]));
  });
}

template <class T>
W8A8_KERNEL void Embed(EmbedArgsOf<T> args) {
  const int64_t tokens = args.out.rows / args.images;
  const int64_t patches = tokens - args.prefix_tokens;
  ForEachColumn(args.out.cols, [&](int64_t row, int64_t col) {
    const int64_t image = row / tokens, token = row % tokens;
    const int64_t patch = image * patches + token - args.prefix_tokens;
    const float value = token < args.prefix_tokens
                            ? Load(&args.prefix[token * args.out.cols + col])
                            : Load(&args.product.data[patch * args.product.stride + col]);
    StoreRounded(&args.out.data[row * args.out.stride + col],
                 value + Load(&args.position[token * args.out.cols + col]));
  });
}

template <class T>
void LaunchEmbedOf(Queue queue, const EmbedArgsOf<T>& args) {
  Launch(queue, BlockPerRow(args.out.rows, args.out.cols), Embed<T>, args);
}

// ---- rows ----

W8A8_KERNEL void BroadcastRow(const float* values, MatView<Half> out) {
  ForEachColumn(out.cols, [&](int64_t row, int64_t col) {
    StoreRounded(&out.data[row * out.stride + col], Load(&values[col]));
  });
}

struct MeanRowsArgs {
  MatView<const Half> in;
  int64_t first_row, rows;  // of an image
  MatView<Half> out;
};

W8A8_KERNEL void MeanRows(MeanRowsArgs args) {
  ForEachColumn(args.out.cols, [&](int64_t image, int64_t col) {
    const Half* x = args.in.data + image * args.rows * args.in.stride + col;
    float sum = 0.0f;
    for (int64_t row = args.first_row; row < args.rows; ++row) {
      sum += Widen(Load(&x[row * args.in.stride]));
    }
    StoreRounded(&args.out.data[image * args.out.stride + col],
                 sum / static_cast<float>(args.rows - args.first_row));
  });
}

// The sum of two FP16 values needs one rounding in binary32 at most, halving it none.
W8A8_KERNEL void Average(MatView<const Half> a, MatView<const Half> b, MatView<Half> out) {
  ForEachColumn(out.cols, [&](int64_t row, int64_t col) {
    const float sum =
        Widen(Load(&a.data[row * a.stride + col])) + Widen(Load(&b.data[row * b.stride + col]));
    StoreRounded(&out.data[row * out.stride + col], sum * 0.5f);
  });
}

template <class T>
W8A8_KERNEL void Copy(MatView<const T> from, MatView<T> to) {
  ForEachColumn(to.cols, [&](int64_t row, int64_t col) {
    Store(&to.data[row * to.stride + col], Load(&from.data[row * from.stride + col]));
  });
}

W8A8_KERNEL void Clear(MatView<float> out) {
  ForEachColumn(out.cols,
                [&](int64_t row, int64_t col) { Store(&out.data[row * out.stride + col], 0.0f); });
}

W8A8_KERNEL void Tanh(const Half* table, MatView<const Half> in, MatView<Half> out) {
  ForEachColumn(out.cols, [&](int64_t row, int64_t col) {
    const Half x = Load(&in.data[row * in.stride + col]);
    Store(&out.data[row * out.stride + col], Load(&table[x.bits]));
  });
}

// True if rows may be copied by sixteen bytes.
template <class T>
bool IsWholeVectors(MatView<T> view) {
  constexpr auto kElements = static_cast<int64_t>(sizeof(Vec16) / sizeof(T));
  return reinterpret_cast<uintptr_t>(view.data) % sizeof(Vec16) == 0 &&
         view.stride % kElements == 0 && view.cols % kElements == 0;
}

template <class To, class T>
MatView<To> AsVectors(MatView<T> view) {
  constexpr auto kElements = static_cast<int64_t>(sizeof(Vec16) / sizeof(T));
  return {reinterpret_cast<To*>(view.data), view.rows, view.cols / kElements,
          view.stride / kElements};
}

template <class T>
void CopyRows(Queue queue, MatView<const T> from, MatView<T> to) {
  if (!IsWholeVectors(from) || !IsWholeVectors(to)) {
    return Launch(queue, BlockPerRow(to.rows, to.cols), Copy<T>, from, to);
  }
  const MatView<Vec16> vectors = AsVectors<Vec16>(to);
  Launch(queue, BlockPerRow(vectors.rows, vectors.cols), Copy<Vec16>, AsVectors<const Vec16>(from),
         vectors);
}

}  // namespace

void LaunchGatherPatches(Queue queue, const GatherPatchesArgs& args) {
  Launch(queue, BlockPerRow(args.out.rows, args.out.cols), GatherPatches, args);
}

void LaunchEmbed(Queue queue, const EmbedArgsOf<Half>& args) { LaunchEmbedOf(queue, args); }
void LaunchEmbed(Queue queue, const EmbedArgsOf<float>& args) { LaunchEmbedOf(queue, args); }

void LaunchBroadcastRow(Queue queue, const float* row, MatView<Half> out) {
  Launch(queue, BlockPerRow(out.rows, out.cols), BroadcastRow, row, out);
}

void LaunchSelectRow(Queue queue, MatView<const Half> in, int64_t row, MatView<Half> out) {
  const int64_t rows = in.rows / out.rows;
  CopyRows<Half>(queue, {in.row(row), out.rows, in.cols, in.stride * rows}, out);
}

void LaunchMeanRows(Queue queue, MatView<const Half> in, int64_t first_row, MatView<Half> out) {
  Launch(queue, BlockPerRow(out.rows, out.cols), MeanRows,
         {.in = in, .first_row = first_row, .rows = in.rows / out.rows, .out = out});
}

void LaunchAverage(Queue queue, MatView<const Half> a, MatView<const Half> b, MatView<Half> out) {
  Launch(queue, BlockPerRow(out.rows, out.cols), Average, a, b, out);
}

void LaunchConcat(Queue queue, MatView<const Half> a, MatView<const Half> b, MatView<Half> out) {
  CopyRows<Half>(queue, a, out.ColRange(0, a.cols));
  CopyRows<Half>(queue, b, out.ColRange(a.cols, b.cols));
}

void LaunchCopy(Queue queue, MatView<const Half> from, MatView<Half> to) {
  CopyRows<Half>(queue, from, to);
}
void LaunchCopy(Queue queue, MatView<const float> from, MatView<float> to) {
  CopyRows<float>(queue, from, to);
}

void LaunchClear(Queue queue, MatView<float> out) {
  Launch(queue, BlockPerRow(out.rows, out.cols), Clear, out);
}

std::vector<Half> TanhTable() {
  std::vector<Half> table(65536);
  for (size_t pattern = 0; pattern < table.size(); ++pattern) {
    const float x = ToFloat(Half{static_cast<uint16_t>(pattern)});
    table[pattern] = ToHalf(static_cast<float>(std::tanh(double{x})));
  }
  return table;
}

void LaunchTanh(Queue queue, const Half* table, MatView<const Half> in, MatView<Half> out) {
  Launch(queue, BlockPerRow(out.rows, out.cols), Tanh, table, in, out);
}

}  // namespace w8a8
