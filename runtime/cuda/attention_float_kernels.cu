// Attention of FP16 operands, or of the same rounded to BF16, by tensor cores; scores, softmax and
// sums in binary32. The softmax runs along with the keys: what was summed up is scaled down where
// the maximum has grown too far, so no row of scores is ever stored.
#include <limits>

#include "runtime/cuda/attention_fragments.h"
#include "runtime/cuda/attention_pairs.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLog2E = 0x1.715476p0f;
constexpr int kWarps = kPairThreads / kWarpLanes;
constexpr int kKeysAtOnce = 32;               // whose scores a warp holds
constexpr int kScoreTiles = kKeysAtOnce / 8;  // of 16 x 8 scores
constexpr int kKeySteps = kKeysAtOnce / 16;   // of 16 keys
// Exponents of 2 that weights may grow by before sums are scaled: 256 is far from FP16's 65,504,
// and after the first keys hardly any row comes to it, where most come to new maxima.
constexpr float kSlack = 8.0f;

// A warp has two tiles of 16 queries where registers allow it: what is read from shared memory then
// meets both.
constexpr int RowTilesFor(int steps) { return steps <= 6 ? 2 : 1; }
constexpr int QueriesOfWarp(int row_tiles) { return 16 * row_tiles; }

// A lane's part of a 16 x 8 tile: rows Group() and Group() + 8, of each columns 2 * Quad() and the
// next.
struct Tile {
  float of[4];
};

size_t SharedBytes(int steps) {
  const int words = kPairKeys * PairKeyStride(steps) + kPairKeys / 2 * PairValueStride(steps);
  return static_cast<size_t>(words) * sizeof(uint32_t);
}

template <bool kBFloat16>
W8A8_DEVICE void Multiply(Tile* sum, const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (kBFloat16) {
    MmaBf16(sum->of, a, b);
  } else {
    MmaHalf(sum->of, a, b);
  }
}

// A warp's queries as tensor cores take them; 0 past the last.
template <int kSteps>
struct Queries {
  uint32_t words[RowTilesFor(kSteps)][kSteps][4];
};
template <int kSteps, bool kBFloat16>
W8A8_DEVICE Queries<kSteps> LoadQueries(const RowsOfHead& q, int64_t first_query) {
  Queries<kSteps> queries{};
#pragma unroll
  for (int tile = 0; tile < RowTilesFor(kSteps); ++tile) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int64_t row = first_query + 16 * tile + Group() + 8 * (i / 2 % 2);
        const int d = 16 * step + 8 * (i / 4) + 2 * Quad() + i % 2;
        if (row >= q.rows || d >= q.head_dim) continue;
        const Half value = Load(&q.from[row * q.stride + d]);
        queries.words[tile][step][i / 2] |= PairBits<kBFloat16>(value) << (16 * (i % 2));
      }
    }
  }
  return queries;
}

// ---- scores, weights, sums ----

template <int kRowTiles>
struct Scores {
  Tile tiles[kRowTiles][kScoreTiles];
};

// `k`: of the first of the keys.
template <int kSteps, bool kBFloat16>
W8A8_DEVICE Scores<RowTilesFor(kSteps)> ScoresOf(const Queries<kSteps>& queries,
                                                 const uint32_t* k) {
  Scores<RowTilesFor(kSteps)> scores{};
  for (int n = 0; n < kScoreTiles; ++n) {
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t* words = k + (8 * n + Group()) * PairKeyStride(kSteps) + 8 * step + Quad();
      const uint32_t keys[2] = {Load(&words[0]), Load(&words[4])};
      for (int tile = 0; tile < RowTilesFor(kSteps); ++tile) {
        Multiply<kBFloat16>(&scores.tiles[tile][n], queries.words[tile][step], keys);
      }
    }
  }
  return scores;
}

// -infinity where nobody attends.
template <int kRowTiles>
W8A8_DEVICE void MaskScores(const AttentionProblem& problem, const AttentionBlock& block,
                            int64_t first_key, Scores<kRowTiles>* scores) {
  if (block.key_mask == nullptr && first_key + kKeysAtOnce <= problem.keys) return;
  for (int n = 0; n < kScoreTiles; ++n) {
    for (int i = 0; i < 2; ++i) {
      if (IsAttended(problem, block, first_key + 8 * n + 2 * Quad() + i)) continue;
      for (int tile = 0; tile < kRowTiles; ++tile) {
        scores->tiles[tile][n].of[i] = -kInfinity;
        scores->tiles[tile][n].of[2 + i] = -kInfinity;
      }
    }
  }
}

// Of a lane's queries, over the keys so far. A key's weight is 2^(score * rate - exponent).
template <int kSteps>
struct Sums {
  float exponent[RowTilesFor(kSteps)][2];  // -infinity before the first score above that
  float weights[RowTilesFor(kSteps)][2];   // of this lane's keys alone
  Tile out[RowTilesFor(kSteps)][2 * kSteps];
};

// Scales the sums of a query's row to a new exponent where its largest score asks for one.
template <int kSteps>
W8A8_DEVICE void Rescale(float rate, const Scores<RowTilesFor(kSteps)>& scores, int tile, int r,
                         Sums<kSteps>* sums) {
  float maximum = -kInfinity;
  for (const Tile& part : scores.tiles[tile]) {
    for (int i = 2 * r; i < 2 * r + 2; ++i) maximum = part.of[i] > maximum ? part.of[i] : maximum;
  }
  const float exponent = MaximumOfQuad(maximum) * rate;
  const float before = sums->exponent[tile][r];
  const bool grows = exponent > before + kSlack;
  if (Ballot(grows) == 0) return;
  const float kept = grows ? Exp2Near(before - exponent) : 1.0f;
  if (grows) sums->exponent[tile][r] = exponent;
  sums->weights[tile][r] *= kept;
  for (Tile& part : sums->out[tile]) {
    for (int i = 2 * r; i < 2 * r + 2; ++i) part.of[i] *= kept;
  }
}

// Scores become weights. Where all so far are -infinity, any exponent makes them 0.
template <int kSteps>
W8A8_DEVICE void Weigh(float rate, Scores<RowTilesFor(kSteps)>* scores, Sums<kSteps>* sums) {
  for (int tile = 0; tile < RowTilesFor(kSteps); ++tile) {
    for (int r = 0; r < 2; ++r) {
      Rescale(rate, *scores, tile, r, sums);
      const float exponent = sums->exponent[tile][r];
      const float offset = exponent == -kInfinity ? 0.0f : -exponent;
      for (Tile& part : scores->tiles[tile]) {
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          part.of[i] = Exp2Near(Fma(part.of[i], rate, offset));
          sums->weights[tile][r] += part.of[i];
        }
      }
    }
  }
}

template <bool kBFloat16>
W8A8_DEVICE uint32_t PairOf(float low, float high) {
  return PairBits<kBFloat16>(low) | PairBits<kBFloat16>(high) << 16;
}

// The weights of sixteen keys lie in the lanes as tensor cores take them. `v`: of the first key.
template <int kSteps, bool kBFloat16>
W8A8_DEVICE void AddValues(const Scores<RowTilesFor(kSteps)>& weights, const uint32_t* v,
                           int head_dim, Sums<kSteps>* sums) {
  constexpr int kRowTiles = RowTilesFor(kSteps);
  for (int step = 0; step < kKeySteps; ++step) {
    uint32_t p[kRowTiles][4];
    for (int tile = 0; tile < kRowTiles; ++tile) {
      for (int w = 0; w < 4; ++w) {
        const float(&of)[4] = weights.tiles[tile][2 * step + w / 2].of;
        p[tile][w] = PairOf<kBFloat16>(of[w % 2 * 2], of[w % 2 * 2 + 1]);
      }
    }
    const uint32_t* words = v + (8 * step + Quad()) * PairValueStride(kSteps) + Group();
    for (int n = 0; n < 2 * kSteps; ++n) {
      if (8 * n >= head_dim) continue;
      const uint32_t values[2] = {Load(&words[8 * n]),
                                  Load(&words[4 * PairValueStride(kSteps) + 8 * n])};
      for (int tile = 0; tile < kRowTiles; ++tile) {
        Multiply<kBFloat16>(&sums->out[tile][n], p[tile], values);
      }
    }
  }
}

template <int kSteps>
W8A8_DEVICE void WriteOutputs(const AttentionProblem& problem, const AttentionBlock& block,
                              int64_t first_query, const Sums<kSteps>& sums) {
  for (int r = 0; r < 2 * RowTilesFor(kSteps); ++r) {
    const float inv_sum = 1.0f / SumOfQuad(sums.weights[r / 2][r % 2]);
    const int64_t query = first_query + Group() + 8 * r;
    if (query >= problem.queries) continue;
    Half* out = block.out + query * problem.args.out.stride;
    for (int n = 0; n < 2 * kSteps; ++n) {
      for (int i = 0; i < 2; ++i) {
        const int col = 8 * n + 2 * Quad() + i;
        const float sum = sums.out[r / 2][n].of[r % 2 * 2 + i];
        if (col < problem.head_dim) Store(&out[col], Narrow(sum * inv_sum));
      }
    }
  }
}

constexpr int QueriesOfBlock(int steps) { return kWarps * QueriesOfWarp(RowTilesFor(steps)); }
int64_t BlocksOfImage(const AttentionProblem& problem, int steps) {
  return (problem.queries + QueriesOfBlock(steps) - 1) / QueriesOfBlock(steps);
}

template <int kSteps, bool kBFloat16>
W8A8_KERNEL void FloatAttention(AttentionProblem problem, int64_t blocks_of_image) {
  const AttentionBlock block = BlockOf(problem, BlockIndex() / blocks_of_image);
  const int64_t first_query = BlockIndex() % blocks_of_image * QueriesOfBlock(kSteps) +
                              Warp() * QueriesOfWarp(RowTilesFor(kSteps));
  const BatchAttentionArgs& args = problem.args;
  const RowsOfHead q = {block.q, args.q.stride, problem.queries, nullptr, problem.head_dim};
  const RowsOfHead k = {block.k, args.k.stride, problem.keys, block.key_mask, problem.head_dim};
  const RowsOfHead v = {block.v, args.v.stride, problem.keys, block.key_mask, problem.head_dim};
  const PairTiles shared = {
      SharedAs<uint32_t>(0),
      SharedAs<uint32_t>(kPairKeys * PairKeyStride(kSteps) * sizeof(uint32_t))};
  const Queries<kSteps> queries = LoadQueries<kSteps, kBFloat16>(q, first_query);
  Sums<kSteps> sums{};
  for (auto& tile : sums.exponent) tile[0] = tile[1] = -kInfinity;
  for (int64_t first = 0; first < problem.keys; first += kPairKeys) {
    if (first > 0) SyncThreads();
    LoadKeys<kSteps, kBFloat16>(k, first, problem.aligned, shared.k);
    LoadValues<kSteps, kBFloat16>(v, first, problem.aligned, shared.v);
    SyncThreads();
    for (int key = 0; key < kPairKeys && first + key < problem.keys; key += kKeysAtOnce) {
      auto scores = ScoresOf<kSteps, kBFloat16>(queries, shared.k + key * PairKeyStride(kSteps));
      MaskScores(problem, block, first + key, &scores);
      Weigh(problem.scale * kLog2E, &scores, &sums);
      AddValues<kSteps, kBFloat16>(scores, shared.v + key / 2 * PairValueStride(kSteps),
                                   problem.head_dim, &sums);
    }
  }
  WriteOutputs(problem, block, first_query, sums);
}

}  // namespace

void LaunchFloatAttention(Queue queue, const AttentionProblem& problem) {
  WithColumnsOfThread(problem.head_dim, [&]<int kSteps>() {
    const int64_t blocks_of_image = BlocksOfImage(problem, kSteps);
    const LaunchShape shape = {.blocks = problem.args.images * problem.args.heads * blocks_of_image,
                               .threads = kPairThreads,
                               .shared_bytes = SharedBytes(kSteps)};
    if (problem.args.precision == AttentionPrecision::kBf16) {
      return Launch(queue, shape, FloatAttention<kSteps, true>, problem, blocks_of_image);
    }
    Launch(queue, shape, FloatAttention<kSteps, false>, problem, blocks_of_image);
  });
}

}  // namespace w8a8
