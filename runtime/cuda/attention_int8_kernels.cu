// Attention with INT8 products (numerics.md section 2), equal in every bit to the scalar kernel of
// the CPU. From the codes of keys and values; the kernel looks at all keys for the maximum of
// each row of scores and then at all keys again for the weights: integer products are exact, so
// the scores are the same both times and none is stored.
#include <limits>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/cuda/attention_codes.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kTileStride = OddVectors(kAttentionTile);  // of the tiles that lie by key

// ---- a block's tiles ----

// In shared memory.
struct CodeTiles {
  int depth;       // head_dim in whole sixteens
  int stride;      // of q and k
  int8_t* q;       // [queries, depth]
  int8_t* k;       // [keys, depth]
  int8_t* v;       // [columns of all threads, keys]
  int8_t* p;       // [queries, keys]: weight - 128
  float* q_scale;  // [queries]
};

size_t SharedBytes(int head_dim, int columns) {
  const int by_key = (columns * kColumnLanes + kAttentionTile) * kTileStride;
  const int floats = kAttentionTile * int{sizeof(float)};
  return static_cast<size_t>(2 * kAttentionTile * OddVectors(head_dim) + by_key + floats);
}

W8A8_DEVICE CodeTiles TilesOf(int head_dim, int columns) {
  CodeTiles tiles{};
  tiles.depth = KeyCodesStride(head_dim);
  tiles.stride = OddVectors(head_dim);
  tiles.q = SharedAs<int8_t>(0);
  tiles.k = tiles.q + kAttentionTile * tiles.stride;
  tiles.v = tiles.k + kAttentionTile * tiles.stride;
  tiles.p = tiles.v + columns * kColumnLanes * kTileStride;
  tiles.q_scale = reinterpret_cast<float*>(tiles.p + kAttentionTile * kTileStride);
  return tiles;
}

W8A8_DEVICE Vec16 LoadCodes(const int8_t* from) {
  return Load(reinterpret_cast<const Vec16*>(from));
}

W8A8_DEVICE int32_t Multiply(const Vec16& a, const Vec16& b, int32_t sum) {
  for (int w = 0; w < 4; ++w) sum = Dp4a(a.words[w], b.words[w], sum);
  return sum;
}

// Queries past the last have codes 0.
W8A8_DEVICE void CodeQueries(const AttentionProblem& problem, const AttentionBlock& block,
                             const CodeTiles& tiles) {
  for (int i = Warp(); i < kAttentionTile; i += kAttentionThreads / kWarpLanes) {
    const int64_t query = block.first_query + i;
    const int head_dim = query < problem.queries ? problem.head_dim : 0;
    const float scale = CodeRow(block.q + query * problem.args.q.stride, nullptr, head_dim,
                                tiles.q + i * tiles.stride, tiles.depth);
    if (Lane() == 0) Store(&tiles.q_scale[i], scale);
  }
}

W8A8_DEVICE void LoadKeys(const AttentionProblem& problem, const AttentionCodes& codes,
                          int64_t first_key, const CodeTiles& tiles) {
  const int vectors = tiles.depth / 16;
  for (int i = ThreadIndex(); i < kAttentionTile * vectors; i += kAttentionThreads) {
    const int row = i / vectors, at = i % vectors * 16;
    const int64_t key = first_key + row;
    Store(reinterpret_cast<Vec16*>(&tiles.k[row * tiles.stride + at]),
          key < problem.keys ? LoadCodes(&codes.k[key * codes.k_stride + at]) : Vec16{});
  }
}

W8A8_DEVICE void LoadValues(const AttentionProblem& problem, const AttentionCodes& codes,
                            int64_t first_key, int cols, const CodeTiles& tiles) {
  constexpr int kVectors = kAttentionTile / 16;
  for (int i = ThreadIndex(); i < cols * kVectors; i += kAttentionThreads) {
    const int col = i / kVectors, at = i % kVectors * 16;
    Store(reinterpret_cast<Vec16*>(&tiles.v[col * kTileStride + at]),
          col < problem.head_dim ? LoadCodes(&codes.v[col * codes.v_stride + first_key + at])
                                 : Vec16{});
  }
}

// ---- scores and weights of a thread's queries and keys ----

struct Scores {
  float of[kQueriesOfThread][kKeysOfThread];  // -infinity where nobody attends
};

W8A8_DEVICE Scores ScoresOf(const AttentionProblem& problem, const AttentionBlock& block,
                            const AttentionCodes& codes, const CodeTiles& tiles,
                            int64_t first_key) {
  int32_t products[kQueriesOfThread][kKeysOfThread] = {};
  const int8_t* q = tiles.q + QueryOfThread() * tiles.stride;
  const int8_t* k = tiles.k + LaneOfThread() * tiles.stride;
  for (int d = 0; d < tiles.depth; d += 16) {
    const Vec16 keys[kKeysOfThread] = {LoadCodes(k + d),
                                       LoadCodes(k + kColumnLanes * tiles.stride + d)};
    for (int r = 0; r < kQueriesOfThread; ++r) {
      const Vec16 query = LoadCodes(q + r * tiles.stride + d);
      for (int i = 0; i < kKeysOfThread; ++i) {
        products[r][i] = Multiply(query, keys[i], products[r][i]);
      }
    }
  }
  Scores scores;
  for (int i = 0; i < kKeysOfThread; ++i) {
    const int64_t key = first_key + LaneOfThread() + i * kColumnLanes;
    const bool attended = IsAttended(problem, block, key);
    const float k_scale = attended ? Load(&codes.k_scale[key]) : 0.0f;
    for (int r = 0; r < kQueriesOfThread; ++r) {
      const float q_scale = Load(&tiles.q_scale[QueryOfThread() + r]);
      const float score = static_cast<float>(products[r][i]) * (q_scale * k_scale * problem.scale);
      scores.of[r][i] = attended ? score : -kInfinity;
    }
  }
  return scores;
}

// 0 to 255; 0 where nobody attends.
W8A8_DEVICE int32_t WeightOf(float score, float maximum) {
  return static_cast<int32_t>(RoundToEven(255.0f * ExpNonPositive(score - maximum)));
}

template <int kColumns>
struct Sums {
  float maximum[kQueriesOfThread];
  int32_t weights[kQueriesOfThread];
  int32_t out[kQueriesOfThread][kColumns];  // of weight - 128
};

template <int kColumns>
W8A8_DEVICE void FindMaxima(const AttentionProblem& problem, const AttentionBlock& block,
                            const AttentionCodes& codes, const CodeTiles& tiles,
                            Sums<kColumns>* sums) {
  for (float& maximum : sums->maximum) maximum = -kInfinity;
  for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
    if (first > 0) SyncThreads();
    LoadKeys(problem, codes, first, tiles);
    SyncThreads();
    const Scores scores = ScoresOf(problem, block, codes, tiles, first);
    for (int r = 0; r < kQueriesOfThread; ++r) {
      for (const float score : scores.of[r]) {
        sums->maximum[r] = score > sums->maximum[r] ? score : sums->maximum[r];
      }
    }
  }
  for (float& maximum : sums->maximum) maximum = MaximumOfLanes(maximum);
}

// Weights less 128 fit the one kind of product there is; what that takes off, 128 times the sum of
// a channel's codes, is added at the end.
template <int kColumns>
W8A8_DEVICE void Weigh(const CodeTiles& tiles, const Scores& scores, Sums<kColumns>* sums) {
  for (int r = 0; r < kQueriesOfThread; ++r) {
    for (int i = 0; i < kKeysOfThread; ++i) {
      const int32_t weight = WeightOf(scores.of[r][i], sums->maximum[r]);
      sums->weights[r] += weight;
      const int at = (QueryOfThread() + r) * kTileStride + LaneOfThread() + i * kColumnLanes;
      Store(&tiles.p[at], static_cast<int8_t>(weight - 128));
    }
  }
}

template <int kColumns>
W8A8_DEVICE void AddValues(const CodeTiles& tiles, Sums<kColumns>* sums) {
  for (int key = 0; key < kAttentionTile; key += 16) {
    Vec16 p[kQueriesOfThread];
    for (int r = 0; r < kQueriesOfThread; ++r) {
      p[r] = LoadCodes(&tiles.p[(QueryOfThread() + r) * kTileStride + key]);
    }
    for (int j = 0; j < kColumns; ++j) {
      const Vec16 v = LoadCodes(&tiles.v[(LaneOfThread() + j * kColumnLanes) * kTileStride + key]);
      for (int r = 0; r < kQueriesOfThread; ++r) {
        sums->out[r][j] = Multiply(p[r], v, sums->out[r][j]);
      }
    }
  }
}

template <int kColumns>
W8A8_DEVICE void WriteOutputs(const AttentionProblem& problem, const AttentionBlock& block,
                              const AttentionCodes& codes, const Sums<kColumns>& sums) {
  for (int j = 0; j < kColumns; ++j) {
    const int col = LaneOfThread() + j * kColumnLanes;
    if (col >= problem.head_dim) continue;
    const float scale = Load(&codes.v_scale[col]);
    const int32_t taken_off = 128 * Load(&codes.v_sum[col]);
    for (int r = 0; r < kQueriesOfThread; ++r) {
      const int64_t query = block.first_query + QueryOfThread() + r;
      if (query >= problem.queries) continue;
      const auto sum = static_cast<float>(sums.out[r][j] + taken_off);
      Store(&block.out[query * problem.args.out.stride + col],
            Narrow(sum * scale / static_cast<float>(sums.weights[r])));
    }
  }
}

template <int kColumns>
W8A8_DEVICE void WriteProbabilities(const AttentionProblem& problem, const AttentionBlock& block,
                                    const AttentionCodes& codes, const CodeTiles& tiles,
                                    const Sums<kColumns>& sums) {
  for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
    SyncThreads();
    LoadKeys(problem, codes, first, tiles);
    SyncThreads();
    const Scores scores = ScoresOf(problem, block, codes, tiles, first);
    for (int i = 0; i < kKeysOfThread; ++i) {
      const int64_t key = first + LaneOfThread() + i * kColumnLanes;
      for (int r = 0; r < kQueriesOfThread; ++r) {
        const int64_t query = block.first_query + QueryOfThread() + r;
        if (key >= problem.keys || query >= problem.queries) continue;
        const auto weight = static_cast<float>(WeightOf(scores.of[r][i], sums.maximum[r]));
        Store(&block.probabilities[query * problem.args.probabilities.stride + key],
              weight / static_cast<float>(sums.weights[r]));
      }
    }
  }
}

template <int kColumns>
W8A8_KERNEL void Int8Attention(AttentionProblem problem) {
  const AttentionBlock block = ThisAttentionBlock(problem);
  const AttentionCodes codes = CodesOf(problem, block.image_head);
  const CodeTiles tiles = TilesOf(problem.head_dim, kColumns);
  CodeQueries(problem, block, tiles);
  Sums<kColumns> sums{};
  FindMaxima(problem, block, codes, tiles, &sums);
  for (int64_t first = 0; first < problem.keys; first += kAttentionTile) {
    SyncThreads();
    LoadKeys(problem, codes, first, tiles);
    LoadValues(problem, codes, first, kColumns * kColumnLanes, tiles);
    SyncThreads();
    Weigh(tiles, ScoresOf(problem, block, codes, tiles, first), &sums);
    SyncWarp();
    AddValues(tiles, &sums);
  }
  for (int32_t& weights : sums.weights) weights = SumOfLanes(weights);
  WriteOutputs(problem, block, codes, sums);
  if (block.probabilities != nullptr) WriteProbabilities(problem, block, codes, tiles, sums);
}

}  // namespace

void LaunchInt8Attention(Queue queue, const AttentionProblem& problem) {
  LaunchAttentionCodes(queue, problem);
  WithColumnsOfThread(problem.head_dim, [&]<int kColumns>() {
    Launch(queue,
           {.blocks = problem.args.images * problem.args.heads * problem.query_tiles,
            .threads = kAttentionThreads,
            .shared_bytes = SharedBytes(problem.head_dim, kColumns)},
           Int8Attention<kColumns>, problem);
  });
}

}  // namespace w8a8
