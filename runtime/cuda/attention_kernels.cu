// Attention with scores, softmax and sums in binary32, of FP16 operands or the same rounded to
// BF16. The softmax runs along with the keys: what was summed up is scaled down whenever the
// maximum grows, so no row of scores is ever stored.
#include <cmath>
#include <limits>

#include "quant/exponential.h"
#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kWeightStride = OddVectors(kAttentionTile * int{sizeof(float)}) / int{sizeof(float)};

// In shared memory.
struct FloatTiles {
  int depth;   // head_dim in whole fours
  int stride;  // of q and k
  float* q;    // [queries, depth]
  float* k;    // [keys, depth]
  float* v;    // [keys, columns of all threads]: 0 where nobody attends
  float* p;    // [keys, queries]
};

constexpr int StrideOf(int head_dim) {
  return OddVectors(head_dim * int{sizeof(float)}) / int{sizeof(float)};
}

size_t SharedBytes(int head_dim, int columns) {
  const int floats = 2 * StrideOf(head_dim) + columns * kColumnLanes + kWeightStride;
  return static_cast<size_t>(kAttentionTile * floats) * sizeof(float);
}

W8A8_DEVICE FloatTiles TilesOf(int head_dim, int columns) {
  const int stride = StrideOf(head_dim);
  auto* q = SharedAs<float>(0);
  float* k = q + kAttentionTile * stride;
  float* v = k + kAttentionTile * stride;
  return {.depth = (head_dim + 3) / 4 * 4,
          .stride = stride,
          .q = q,
          .k = k,
          .v = v,
          .p = v + kAttentionTile * columns * kColumnLanes};
}

template <bool kBFloat16>
W8A8_DEVICE float Operand(float value) {
  return kBFloat16 ? ToFloat(ToBFloat16(value)) : value;
}

// A tile of rows to shared memory; 0 past `rows`, where `mask` says so, and past head_dim.
struct RowsOfTile {
  const Half* from;
  int64_t stride, first, rows;
  const uint8_t* mask;
  int head_dim;
};
template <bool kBFloat16>
W8A8_DEVICE void LoadRows(const RowsOfTile& tile, float* to, int to_stride, int to_cols) {
  for (int i = Warp(); i < kAttentionTile; i += kAttentionThreads / kWarpLanes) {
    const int64_t row = tile.first + i;
    const bool there = row < tile.rows && (tile.mask == nullptr || Load(&tile.mask[row]) != 0);
    for (int d = Lane(); d < to_cols; d += kWarpLanes) {
      const bool inside = there && d < tile.head_dim;
      const float value = inside ? Widen(Load(&tile.from[row * tile.stride + d])) : 0.0f;
      Store(&to[i * to_stride + d], Operand<kBFloat16>(value));
    }
  }
}

W8A8_DEVICE Vec16 LoadFour(const float* from) { return Load(reinterpret_cast<const Vec16*>(from)); }

// Products of a thread's queries and keys, unscaled; -infinity where nobody attends.
struct Scores {
  float of[kQueriesOfThread][kKeysOfThread];
};
W8A8_DEVICE Scores ScoresOf(const AttentionProblem& problem, const AttentionBlock& block,
                            const FloatTiles& tiles, int64_t first_key) {
  Scores scores{};
  const float* q = tiles.q + QueryOfThread() * tiles.stride;
  const float* k = tiles.k + LaneOfThread() * tiles.stride;
  for (int d = 0; d < tiles.depth; d += 4) {
    const Vec16 keys[kKeysOfThread] = {LoadFour(k + d),
                                       LoadFour(k + kColumnLanes * tiles.stride + d)};
    for (int r = 0; r < kQueriesOfThread; ++r) {
      const Vec16 query = LoadFour(q + r * tiles.stride + d);
      for (int i = 0; i < kKeysOfThread; ++i) {
        for (int w = 0; w < 4; ++w) {
          scores.of[r][i] =
              Fma(FloatFromBits(query.words[w]), FloatFromBits(keys[i].words[w]), scores.of[r][i]);
        }
      }
    }
  }
  for (int i = 0; i < kKeysOfThread; ++i) {
    if (IsAttended(problem, block, first_key + LaneOfThread() + i * kColumnLanes)) continue;
    for (int r = 0; r < kQueriesOfThread; ++r) scores.of[r][i] = -kInfinity;
  }
  return scores;
}

W8A8_DEVICE float WeightOf(float score, float maximum, float scale) {
  return score == -kInfinity ? 0.0f : ExpNonPositive((score - maximum) * scale);
}

// Of a thread's queries, over the keys so far.
template <int kColumns>
struct Sums {
  float maximum[kQueriesOfThread];
  float weights[kQueriesOfThread];  // of this thread's keys alone
  float out[kQueriesOfThread][kColumns];
};

// Weights of a tile's keys to shared memory, from where the threads of the same queries read them.
template <int kColumns, bool kBFloat16>
W8A8_DEVICE void Weigh(const FloatTiles& tiles, float scale, const Scores& scores,
                       Sums<kColumns>* sums) {
  Vec16 p[kKeysOfThread];
  for (int r = 0; r < kQueriesOfThread; ++r) {
    const float before = sums->maximum[r];
    float maximum = before;
    for (const float score : scores.of[r]) maximum = score > maximum ? score : maximum;
    maximum = MaximumOfLanes(maximum);
    const float kept = maximum == before ? 1.0f : ExpNonPositive((before - maximum) * scale);
    sums->maximum[r] = maximum;
    sums->weights[r] *= kept;
    for (float& value : sums->out[r]) value *= kept;
    for (int i = 0; i < kKeysOfThread; ++i) {
      const float weight = WeightOf(scores.of[r][i], maximum, scale);
      sums->weights[r] += weight;
      p[i].words[r] = FloatBits(Operand<kBFloat16>(weight));
    }
  }
  for (int i = 0; i < kKeysOfThread; ++i) {
    float* to = tiles.p + (LaneOfThread() + i * kColumnLanes) * kWeightStride + QueryOfThread();
    Store(reinterpret_cast<Vec16*>(to), p[i]);
  }
}

template <int kColumns>
W8A8_DEVICE void AddValues(const FloatTiles& tiles, Sums<kColumns>* sums) {
  for (int key = 0; key < kAttentionTile; ++key) {
    const Vec16 p = LoadFour(tiles.p + key * kWeightStride + QueryOfThread());
    const float* v = tiles.v + key * kColumns * kColumnLanes + LaneOfThread();
    for (int j = 0; j < kColumns; ++j) {
      const float value = Load(&v[j * kColumnLanes]);
      for (int r = 0; r < kQueriesOfThread; ++r) {
        sums->out[r][j] = Fma(FloatFromBits(p.words[r]), value, sums->out[r][j]);
      }
    }
  }
}

// Scores once more, now that a query's maximum and sum are known.
template <int kColumns, bool kBFloat16>
W8A8_DEVICE void WriteProbabilities(const AttentionProblem& problem, const AttentionBlock& block,
                                    const FloatTiles& tiles, const Sums<kColumns>& sums) {
  for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
    SyncThreads();
    LoadRows<kBFloat16>(
        {block.k, problem.args.k.stride, first, problem.keys, block.key_mask, problem.head_dim},
        tiles.k, tiles.stride, tiles.depth);
    SyncThreads();
    const Scores scores = ScoresOf(problem, block, tiles, first);
    for (int i = 0; i < kKeysOfThread; ++i) {
      const int64_t key = first + LaneOfThread() + i * kColumnLanes;
      for (int r = 0; r < kQueriesOfThread; ++r) {
        const int64_t query = block.first_query + QueryOfThread() + r;
        if (key >= problem.keys || query >= problem.queries) continue;
        const float weight = WeightOf(scores.of[r][i], sums.maximum[r], problem.scale);
        Store(&block.probabilities[query * problem.args.probabilities.stride + key],
              weight / sums.weights[r]);
      }
    }
  }
}

template <int kColumns>
W8A8_DEVICE void WriteOutputs(const AttentionProblem& problem, const AttentionBlock& block,
                              const Sums<kColumns>& sums) {
  for (int r = 0; r < kQueriesOfThread; ++r) {
    const int64_t query = block.first_query + QueryOfThread() + r;
    const float inv_sum = 1.0f / sums.weights[r];
    for (int j = 0; j < kColumns; ++j) {
      const int col = LaneOfThread() + j * kColumnLanes;
      if (query >= problem.queries || col >= problem.head_dim) continue;
      Store(&block.out[query * problem.args.out.stride + col], Narrow(sums.out[r][j] * inv_sum));
    }
  }
}

template <int kColumns, bool kBFloat16>
W8A8_KERNEL void FloatAttention(AttentionProblem problem) {
  const AttentionBlock block = ThisAttentionBlock(problem);
  const FloatTiles tiles = TilesOf(problem.head_dim, kColumns);
  const BatchAttentionArgs& args = problem.args;
  LoadRows<kBFloat16>(
      {block.q, args.q.stride, block.first_query, problem.queries, nullptr, problem.head_dim},
      tiles.q, tiles.stride, tiles.depth);
  Sums<kColumns> sums{};
  for (float& maximum : sums.maximum) maximum = -kInfinity;
  for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
    if (first > 0) SyncThreads();
    LoadRows<kBFloat16>(
        {block.k, args.k.stride, first, problem.keys, block.key_mask, problem.head_dim}, tiles.k,
        tiles.stride, tiles.depth);
    LoadRows<kBFloat16>(
        {block.v, args.v.stride, first, problem.keys, block.key_mask, problem.head_dim}, tiles.v,
        kColumns * kColumnLanes, kColumns * kColumnLanes);
    SyncThreads();
    Weigh<kColumns, kBFloat16>(tiles, problem.scale, ScoresOf(problem, block, tiles, first), &sums);
    SyncWarp();
    AddValues(tiles, &sums);
  }
  for (float& weights : sums.weights) weights = SumOfLanes(weights);
  WriteOutputs(problem, block, sums);
  if (block.probabilities != nullptr) {
    WriteProbabilities<kColumns, kBFloat16>(problem, block, tiles, sums);
  }
}

void LaunchFloatAttention(Queue queue, const AttentionProblem& problem) {
  const int64_t blocks = problem.args.images * problem.args.heads * problem.query_tiles;
  WithColumnsOfThread(problem.head_dim, [&]<int kColumns>() {
    const LaunchShape shape = {.blocks = blocks,
                               .threads = kAttentionThreads,
                               .shared_bytes = SharedBytes(problem.head_dim, kColumns)};
    if (problem.args.precision == AttentionPrecision::kBf16) {
      return Launch(queue, shape, FloatAttention<kColumns, true>, problem);
    }
    Launch(queue, shape, FloatAttention<kColumns, false>, problem);
  });
}

}  // namespace

AttentionProblem MakeAttentionProblem(const BatchAttentionArgs& args) {
  const int64_t queries = args.q.rows / args.images;
  return {.args = args,
          .queries = queries,
          .keys = args.k.rows / args.images,
          .query_tiles = (queries + kAttentionTile - 1) / kAttentionTile,
          .head_dim = static_cast<int>(args.head_dim),
          .scale = 1.0f / std::sqrt(static_cast<float>(args.head_dim))};
}

size_t AttentionScratchBytes(const BatchAttentionArgs& args) {
  if (args.precision != AttentionPrecision::kInt8) return 0;
  return Int8AttentionScratchBytes(MakeAttentionProblem(args));
}

void LaunchAttention(Queue queue, const BatchAttentionArgs& args) {
  const AttentionProblem problem = MakeAttentionProblem(args);
  if (args.precision == AttentionPrecision::kInt8) return LaunchInt8Attention(queue, problem);
  LaunchFloatAttention(queue, problem);
}

}  // namespace w8a8
