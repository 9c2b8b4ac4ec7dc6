#include <algorithm>
#include <bit>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/cuda/block.h"
#include "runtime/cuda/mixture_kernels.h"
#include "runtime/cuda/row_sums.h"
#include "runtime/routing.h"

namespace w8a8 {
namespace {

// A warp for each row.
constexpr int kWarps = 8;

int64_t BlocksOf(int64_t rows, int warps) { return (rows + warps - 1) / warps; }

W8A8_DEVICE int64_t RowOfWarp() { return BlockIndex() * (BlockThreads() / kWarpLanes) + Warp(); }

// sum over k of fma(x[k], weight[k], .); of all lanes.
W8A8_DEVICE float RowProduct(const Half* x, const float* weight, int64_t cols) {
  float sums[kSumsOfLane] = {};
  for (int64_t first = Lane() * kSumsOfLane; first < cols; first += kRowSums) {
    for (int i = 0; i < kSumsOfLane; ++i) {
      const int64_t k = first + i;
      if (k < cols) sums[i] = Fma(Widen(Load(&x[k])), Load(&weight[k]), sums[i]);
    }
  }
  return CombineRowSums(sums);
}

// The same where x and weight may be read by sixteen bytes and cols is a multiple of eight.
W8A8_DEVICE float RowProductOfVectors(const Half* x, const float* weight, int64_t cols) {
  float sums[kSumsOfLane] = {};
  for (int64_t k = Lane() * kSumsOfLane; k < cols; k += kRowSums) {
    const Vec16 halves = Load(reinterpret_cast<const Vec16*>(x + k));
    for (int part = 0; part < 2; ++part) {
      const Vec16 floats = Load(reinterpret_cast<const Vec16*>(weight + k + 4 * part));
      for (int i = 0; i < 4; ++i) {
        const uint32_t pair = halves.words[2 * part + i / 2];
        const Half half{static_cast<uint16_t>(i % 2 == 0 ? pair & 0xffffu : pair >> 16)};
        const int at = 4 * part + i;
        sums[at] = Fma(Widen(half), FloatFromBits(floats.words[i]), sums[at]);
      }
    }
  }
  return CombineRowSums(sums);
}

bool IsAligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % sizeof(Vec16) == 0; }

bool AllowsVectors(const MatView<const Half>& x, const float* weight) {
  return IsAligned(x.data) && IsAligned(weight) && x.stride % 8 == 0 && x.cols % 8 == 0;
}

template <bool kVectors>
W8A8_DEVICE float ProductOf(const Half* x, const float* weight, int64_t cols) {
  return kVectors ? RowProductOfVectors(x, weight, cols) : RowProduct(x, weight, cols);
}

// ---- routing ----

struct SharedFloats {
  float* data;
  W8A8_DEVICE float Get(int64_t i) const { return Load(&data[i]); }
  W8A8_DEVICE void Set(int64_t i, float value) const { Store(&data[i], value); }
};

template <bool kVectors>
W8A8_DEVICE void RouteRow(const RouteArgs& args, int64_t row, float* logits, float* weights) {
  const int64_t experts = args.out.cols;
  const Half* x = args.x.data + row * args.x.stride;
  for (int64_t e = 0; e < experts; ++e) {
    const float logit = ProductOf<kVectors>(x, args.weight + e * args.x.cols, args.x.cols);
    if (Lane() == 0) Store(&logits[e], logit);
  }
  if (Lane() == 0) {
    ChooseExperts(RoutingRow<SharedFloats>{.logits = {logits},
                                           .experts = experts,
                                           .chosen = args.chosen,
                                           .renormalized = args.renormalized,
                                           .weights = {weights}});
  }
  SyncWarp();
  for (int64_t e = Lane(); e < experts; e += kWarpLanes) {
    Store(&args.out.data[row * args.out.stride + e], Load(&weights[e]));
  }
}

template <bool kVectors>
W8A8_KERNEL void Route(RouteArgs args) {
  const int64_t row = RowOfWarp(), experts = args.out.cols;
  if (row >= args.x.rows) return;
  if (args.key_mask != nullptr && Load(&args.key_mask[row]) == 0) {
    for (int64_t e = Lane(); e < experts; e += kWarpLanes) {
      Store(&args.out.data[row * args.out.stride + e], kNotRouted);
    }
    return;
  }
  float* logits = SharedAs<float>(0) + 2 * experts * Warp();
  RouteRow<kVectors>(args, row, logits, logits + experts);
}

// ---- lists of rows ----

constexpr int kListThreads = 256;

// A block for each expert goes through the rows, as many at a time as it has threads.
W8A8_KERNEL void ListRouted(ListRoutedArgs args) {
  const int64_t expert = BlockIndex(), rows = args.routing.rows;
  int32_t* const list = args.rows + expert * rows;
  int32_t* const counts = SharedAs<int32_t>(0);  // of the warps, twice
  int32_t before = 0;
  int round = 0;
  for (int64_t first = 0; first < rows; first += kListThreads, ++round) {
    const int64_t row = first + ThreadIndex();
    const bool routed =
        row < rows && Load(&args.routing.data[row * args.routing.stride + expert]) != kNotRouted;
    const uint32_t lanes = Ballot(routed);
    int32_t* const of_round = counts + round % 2 * (kListThreads / kWarpLanes);
    if (Lane() == 0) Store(&of_round[Warp()], static_cast<int32_t>(std::popcount(lanes)));
    SyncThreads();
    int32_t place = before + std::popcount(lanes & ((1u << Lane()) - 1u));
    for (int warp = 0; warp < kListThreads / kWarpLanes; ++warp) {
      const int32_t count = Load(&of_round[warp]);
      before += count;
      if (warp < Warp()) place += count;
    }
    if (routed) Store(&list[place], static_cast<int32_t>(row));
  }
  if (ThreadIndex() == 0) Store(&args.counts[expert], before);
}

template <class T>
struct GatherArgs {
  MatView<const T> in;
  const int32_t* rows;
  MatView<T> out;
};

template <class T>
W8A8_KERNEL void GatherRows(GatherArgs<T> args) {
  const int64_t row = RowOfWarp();
  if (row >= args.out.rows) return;
  const T* from = args.in.data + Load(&args.rows[row]) * args.in.stride;
  for (int64_t col = Lane(); col < args.out.cols; col += kWarpLanes) {
    Store(&args.out.data[row * args.out.stride + col], Load(&from[col]));
  }
}

// ---- sums ----

// out = fma(weight, y, out) by the lanes of a warp.
W8A8_DEVICE void AddWeighted(float weight, const Half* y, int64_t cols, float* out) {
  for (int64_t col = Lane(); col < cols; col += kWarpLanes) {
    Store(&out[col], Residual(weight, Widen(Load(&y[col])), Load(&out[col])));
  }
}

W8A8_KERNEL void Mix(MixArgs args) {
  const int64_t i = RowOfWarp();
  if (i >= args.in.rows) return;
  const int64_t row = Load(&args.rows[i]);
  const float weight = Load(&args.routing.data[row * args.routing.stride + args.expert]);
  AddWeighted(weight, args.in.data + i * args.in.stride, args.in.cols,
              args.out.data + row * args.out.stride);
}

template <bool kVectors>
W8A8_KERNEL void MixShared(MixSharedArgs args) {
  const int64_t row = RowOfWarp();
  if (row >= args.in.rows) return;
  const float product =
      ProductOf<kVectors>(args.x.data + row * args.x.stride, args.gate, args.x.cols);
  AddWeighted(Sigmoid(product), args.in.data + row * args.in.stride, args.in.cols,
              args.out.data + row * args.out.stride);
}

LaunchShape WarpPerRow(int64_t rows) {
  return {.blocks = BlocksOf(rows, kWarps), .threads = kWarps * kWarpLanes};
}

}  // namespace

void LaunchRoute(Queue queue, const RouteArgs& args) {
  const auto bytes_of_row = 2 * static_cast<size_t>(args.out.cols) * sizeof(float);
  constexpr size_t kBytes = 32 * 1024;  // what a block may take; more only if one row needs more
  const int warps = std::clamp(static_cast<int>(kBytes / bytes_of_row), 1, kWarps);
  const LaunchShape shape = {.blocks = BlocksOf(args.x.rows, warps),
                             .threads = warps * kWarpLanes,
                             .shared_bytes = static_cast<size_t>(warps) * bytes_of_row};
  Launch(queue, shape, AllowsVectors(args.x, args.weight) ? Route<true> : Route<false>, args);
}

void LaunchListRouted(Queue queue, const ListRoutedArgs& args) {
  Launch(queue,
         {.blocks = args.routing.cols,
          .threads = kListThreads,
          .shared_bytes = 2 * (kListThreads / kWarpLanes) * sizeof(int32_t)},
         ListRouted, args);
}

void LaunchGatherRows(Queue queue, MatView<const Half> in, const int32_t* rows, MatView<Half> out) {
  const bool vectors = IsAligned(in.data) && IsAligned(out.data) && in.stride % 8 == 0 &&
                       out.stride % 8 == 0 && out.cols % 8 == 0;
  const LaunchShape shape = WarpPerRow(out.rows);
  if (!vectors) return Launch(queue, shape, GatherRows<Half>, {in, rows, out});
  Launch(queue, shape, GatherRows<Vec16>,
         {{reinterpret_cast<const Vec16*>(in.data), in.rows, in.cols / 8, in.stride / 8},
          rows,
          {reinterpret_cast<Vec16*>(out.data), out.rows, out.cols / 8, out.stride / 8}});
}

void LaunchMix(Queue queue, const MixArgs& args) {
  Launch(queue, WarpPerRow(args.in.rows), Mix, args);
}

void LaunchMixShared(Queue queue, const MixSharedArgs& args) {
  Launch(queue, WarpPerRow(args.in.rows),
         AllowsVectors(args.x, args.gate) ? MixShared<true> : MixShared<false>, args);
}

}  // namespace w8a8
