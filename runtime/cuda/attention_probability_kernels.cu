// The probabilities of attention with FP16 operands, or of the same rounded to BF16, in binary32:
// for those who want to look at them. A block goes through the keys twice, for each query's maximum
// and sum, then for the probabilities.
#include <limits>

#include "quant/exponential.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// In shared memory.
struct FloatTiles {
  int depth;   // head_dim in whole fours
  int stride;  // of q and k
  float* q;    // [queries, depth]
  float* k;    // [keys, depth]
};

constexpr int StrideOf(int head_dim) {
  return OddVectors(head_dim * int{sizeof(float)}) / int{sizeof(float)};
}

size_t SharedBytes(int head_dim) {
  return static_cast<size_t>(2 * kAttentionTile * StrideOf(head_dim)) * sizeof(float);
}

W8A8_DEVICE FloatTiles TilesOf(int head_dim) {
  const int stride = StrideOf(head_dim);
  auto* q = SharedAs<float>(0);
  return {
      .depth = (head_dim + 3) / 4 * 4, .stride = stride, .q = q, .k = q + kAttentionTile * stride};
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
W8A8_DEVICE void LoadRows(const RowsOfTile& tile, const FloatTiles& tiles, float* to) {
  for (int i = Warp(); i < kAttentionTile; i += kAttentionThreads / kWarpLanes) {
    const int64_t row = tile.first + i;
    const bool there = row < tile.rows && (tile.mask == nullptr || Load(&tile.mask[row]) != 0);
    for (int d = Lane(); d < tiles.depth; d += kWarpLanes) {
      const bool inside = there && d < tile.head_dim;
      const float value = inside ? Widen(Load(&tile.from[row * tile.stride + d])) : 0.0f;
      Store(&to[i * tiles.stride + d], Operand<kBFloat16>(value));
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

// Of a thread's queries, over the keys so far.
struct Sums {
  float maximum[kQueriesOfThread];
  float weights[kQueriesOfThread];  // of this thread's keys alone
};

W8A8_DEVICE void AddWeights(float scale, const Scores& scores, Sums* sums) {
  for (int r = 0; r < kQueriesOfThread; ++r) {
    const float before = sums->maximum[r];
    float maximum = before;
    for (const float score : scores.of[r]) maximum = score > maximum ? score : maximum;
    maximum = MaximumOfLanes(maximum);
    const float kept = maximum == before ? 1.0f : ExpNonPositive((before - maximum) * scale);
    sums->maximum[r] = maximum;
    sums->weights[r] *= kept;
    for (const float score : scores.of[r]) sums->weights[r] += WeightOfScore(score, maximum, scale);
  }
}

W8A8_DEVICE void WriteTile(const AttentionProblem& problem, const AttentionBlock& block,
                           const Scores& scores, const Sums& sums, int64_t first_key) {
  for (int i = 0; i < kKeysOfThread; ++i) {
    const int64_t key = first_key + LaneOfThread() + i * kColumnLanes;
    for (int r = 0; r < kQueriesOfThread; ++r) {
      const int64_t query = block.first_query + QueryOfThread() + r;
      if (key >= problem.keys || query >= problem.queries) continue;
      const float weight = WeightOfScore(scores.of[r][i], sums.maximum[r], problem.scale);
      Store(&block.probabilities[query * problem.args.probabilities.stride + key],
            weight / sums.weights[r]);
    }
  }
}

template <bool kBFloat16>
W8A8_KERNEL void FloatProbabilities(AttentionProblem problem) {
  const AttentionBlock block = ThisAttentionBlock(problem);
  const FloatTiles tiles = TilesOf(problem.head_dim);
  const BatchAttentionArgs& args = problem.args;
  const int head_dim = problem.head_dim;
  LoadRows<kBFloat16>(
      {block.q, args.q.stride, block.first_query, problem.queries, nullptr, head_dim}, tiles,
      tiles.q);
  Sums sums{};
  for (float& maximum : sums.maximum) maximum = -kInfinity;
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
      if (first > 0 || pass > 0) SyncThreads();
      LoadRows<kBFloat16>({block.k, args.k.stride, first, problem.keys, block.key_mask, head_dim},
                          tiles, tiles.k);
      SyncThreads();
      const Scores scores = ScoresOf(problem, block, tiles, first);
      if (pass == 0) {
        AddWeights(problem.scale, scores, &sums);
      } else {
        WriteTile(problem, block, scores, sums, first);
      }
    }
    if (pass > 0) continue;
    for (float& weights : sums.weights) weights = SumOfLanes(weights);
  }
}

}  // namespace

void LaunchFloatProbabilities(Queue queue, const AttentionProblem& problem) {
  const LaunchShape shape = {
      .blocks = problem.args.images * problem.args.heads * problem.query_tiles,
      .threads = kAttentionThreads,
      .shared_bytes = SharedBytes(problem.head_dim)};
  const bool bfloat16 = problem.args.precision == AttentionPrecision::kBf16;
  Launch(queue, shape, bfloat16 ? FloatProbabilities<true> : FloatProbabilities<false>, problem);
}

}  // namespace w8a8
