#include "runtime/cuda/block.h"
#include "runtime/cuda/count_kernels.h"

namespace w8a8 {
namespace {

constexpr int kWarps = 8;

W8A8_DEVICE bool IsCounted(const uint8_t* mask, int64_t row) {
  return mask == nullptr || Load(&mask[row]) != 0;
}

W8A8_DEVICE int64_t RowOfWarp() { return BlockIndex() * kWarps + Warp(); }

// A value's magnitude, which orders like an integer; 0 of what is not finite.
W8A8_DEVICE uint32_t FiniteMagnitude(Half value) {
  const uint32_t magnitude = value.bits & 0x7fffu;
  return magnitude < kHalfInfinityBits ? magnitude : 0u;
}

W8A8_DEVICE Half Magnitude(uint32_t bits) { return Half{static_cast<uint16_t>(bits)}; }

// Neighbours that are alike are counted at once: rows behind an activation function repeat
// themselves, and additions to one counter wait for each other.
W8A8_KERNEL void CountPatterns(CountPatternsArgs args) {
  const int64_t row = RowOfWarp();
  if (row >= args.rows.rows || !IsCounted(args.mask, row)) return;
  const Half* x = args.rows.data + row * args.rows.stride;
  uint64_t same = 0;
  Half last{};
  for (int64_t col = Lane(); col < args.rows.cols; col += kWarpLanes) {
    const Half value = Load(&x[col]);
    if (same > 0 && value.bits != last.bits) {
      AtomicAdd(&args.counts[last.bits], same);
      same = 0;
    }
    last = value;
    ++same;
  }
  if (same > 0) AtomicAdd(&args.counts[last.bits], same);
}

struct RowAbsmaxArgs {
  MatView<const Half> rows;
  Half* absmax;
};

W8A8_KERNEL void RowAbsmax(RowAbsmaxArgs args) {
  const int64_t row = RowOfWarp();
  if (row >= args.rows.rows) return;
  const Half* x = args.rows.data + row * args.rows.stride;
  uint32_t largest = 0;
  for (int64_t col = Lane(); col < args.rows.cols; col += kWarpLanes) {
    const uint32_t magnitude = FiniteMagnitude(Load(&x[col]));
    largest = magnitude > largest ? magnitude : largest;
  }
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) {
    const uint32_t other = ShuffleXor(largest, mask);
    largest = other > largest ? other : largest;
  }
  if (Lane() == 0) Store(&args.absmax[row], Magnitude(largest));
}

// A thread for each channel of each image.
constexpr int kChannelThreads = 64;

W8A8_KERNEL void ImageMoments(ImageMomentsArgs args) {
  const int64_t channel = BlockIndex() * kChannelThreads + ThreadIndex(), image = BlockIndexY();
  if (channel >= args.rows.cols) return;
  double sum = 0.0, sum_sq = 0.0;
  uint32_t absmax = 0;
  const int64_t end = Load(&args.first_row[image + 1]);
  for (int64_t row = Load(&args.first_row[image]); row < end; ++row) {
    if (!IsCounted(args.mask, row)) continue;
    const Half half = Load(&args.rows.data[row * args.rows.stride + channel]);
    const uint32_t magnitude = FiniteMagnitude(half);
    absmax = magnitude > absmax ? magnitude : absmax;
    const float value = magnitude == 0 ? 0.0f : Widen(half);
    sum += static_cast<double>(value);
    sum_sq += static_cast<double>(value * value);
  }
  const int64_t at = image * args.rows.cols + channel;
  Store(&args.sum[at], sum);
  Store(&args.sum_sq[at], sum_sq);
  Store(&args.absmax[at], Magnitude(absmax));
}

LaunchShape WarpPerRow(int64_t rows) {
  return {.blocks = (rows + kWarps - 1) / kWarps, .threads = kWarps * kWarpLanes};
}

}  // namespace

void LaunchCountPatterns(Queue queue, const CountPatternsArgs& args) {
  Launch(queue, WarpPerRow(args.rows.rows), CountPatterns, args);
}

void LaunchRowAbsmax(Queue queue, MatView<const Half> rows, Half* absmax) {
  Launch(queue, WarpPerRow(rows.rows), RowAbsmax, {rows, absmax});
}

void LaunchImageMoments(Queue queue, const ImageMomentsArgs& args) {
  Launch(queue,
         {.blocks = (args.rows.cols + kChannelThreads - 1) / kChannelThreads,
          .blocks_y = args.images,
          .threads = kChannelThreads},
         ImageMoments, args);
}

}  // namespace w8a8
