// Attention with INT8 products on tensor cores (numerics.md section 2), equal in every bit to the
// scalar kernel of the CPU. From the codes of keys and values; a warp looks at all keys for the
// maximum of each row of scores and then at all keys again for the weights: integer products are
// exact, so the scores are the same both times and none is stored.
#include <limits>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/cuda/attention_code_tiles.h"
#include "runtime/cuda/attention_codes.h"
#include "runtime/cuda/attention_fragments.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kKeysAtOnce = 32;  // whose scores a warp holds
constexpr int kScoreTiles = kKeysAtOnce / 8;
// ---- a warp's queries, scores and sums ----

template <int kSteps>
struct Queries {
  uint32_t words[CodeRowTiles(kSteps)][kSteps][4];
  float scale[CodeRowTiles(kSteps)][2];
};

template <int kSteps>
W8A8_DEVICE Queries<kSteps> QueriesOfLane(const CodeTiles& tiles) {
  Queries<kSteps> queries;
#pragma unroll
  for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
    const int first = Warp() * CodeQueriesOfWarp(kSteps) + 16 * tile + Group();
    for (int r = 0; r < 2; ++r) queries.scale[tile][r] = Load(&tiles.q_scale[first + 8 * r]);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        const uint32_t* row = tiles.q + (first + 8 * (w % 2)) * CodeKeyStride(kSteps);
        queries.words[tile][step][w] = Load(&row[8 * step + 4 * (w / 2) + Quad()]);
      }
    }
  }
  return queries;
}

struct Scores {
  float of[4];  // -infinity where nobody attends
};
template <int kSteps>
struct AllScores {
  Scores tiles[CodeRowTiles(kSteps)][kScoreTiles];
};

// Of the keys from `key` of the tile on.
template <int kSteps>
W8A8_DEVICE AllScores<kSteps> ScoresOf(const AttentionProblem& problem,
                                       const Queries<kSteps>& queries, const CodeTiles& tiles,
                                       int key) {
  AllScores<kSteps> scores;
#pragma unroll
  for (int n = 0; n < kScoreTiles; ++n) {
    int32_t products[CodeRowTiles(kSteps)][4] = {};
    const uint32_t* row = tiles.k + (key + 8 * n + Group()) * CodeKeyStride(kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t keys[2] = {Load(&row[8 * step + Quad()]), Load(&row[8 * step + 4 + Quad()])};
      for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
        MmaS8(products[tile], queries.words[tile][step], keys);
      }
    }
    for (int i = 0; i < 2; ++i) {
      const float k_scale = Load(&tiles.k_scale[key + 8 * n + 2 * Quad() + i]);
      for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
        for (int r = 0; r < 2; ++r) {
          const float scale = queries.scale[tile][r] * k_scale * problem.scale;
          scores.tiles[tile][n].of[2 * r + i] =
              k_scale < 0.0f ? -kInfinity : static_cast<float>(products[tile][2 * r + i]) * scale;
        }
      }
    }
  }
  return scores;
}

// 0 to 255; 0 where nobody attends.
W8A8_DEVICE int32_t WeightOf(float score, float maximum) {
  return static_cast<int32_t>(RoundToEven(255.0f * ExpNonPositive(score - maximum)));
}

template <int kSteps>
struct Sums {
  float maximum[CodeRowTiles(kSteps)][2];
  int32_t weights[CodeRowTiles(kSteps)][2];
  int32_t out[CodeRowTiles(kSteps)][4 * kSteps][4];
};

template <int kSteps>
W8A8_DEVICE void Raise(const AllScores<kSteps>& scores, Sums<kSteps>* sums) {
  for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
    for (const Scores& part : scores.tiles[tile]) {
      for (int i = 0; i < 4; ++i) {
        float& maximum = sums->maximum[tile][i / 2];
        maximum = part.of[i] > maximum ? part.of[i] : maximum;
      }
    }
  }
}

// The weights of 32 keys lie in the lanes as tensor cores take them, in the order of PairedKeys().
template <int kSteps>
W8A8_DEVICE void AddValues(const AllScores<kSteps>& scores, const CodeTiles& tiles, int key,
                           int head_dim, Sums<kSteps>* sums) {
  uint32_t p[CodeRowTiles(kSteps)][4] = {};
#pragma unroll
  for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
#pragma unroll
    for (int n = 0; n < kScoreTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = i / 2;
        const int32_t weight = WeightOf(scores.tiles[tile][n].of[i], sums->maximum[tile][r]);
        sums->weights[tile][r] += weight;
        p[tile][r + n / 2 * 2] |= static_cast<uint32_t>(weight) << (16 * (n % 2) + 8 * (i % 2));
      }
    }
  }
  const uint32_t* words = tiles.v + Group() * kCodeValueStride + key / 4 + Quad();
#pragma unroll
  for (int n = 0; n < 4 * kSteps; ++n) {
    if (8 * n >= head_dim) continue;
    const uint32_t* word = words + 8 * n * kCodeValueStride;
    const uint32_t values[2] = {Load(&word[0]), Load(&word[4])};
    for (int tile = 0; tile < CodeRowTiles(kSteps); ++tile) {
      MmaU8S8(sums->out[tile][n], p[tile], values);
    }
  }
}

// Of a lane's rows: 2 tiles of 2.
template <int kSteps>
W8A8_DEVICE int64_t QueryOfLane(const AttentionBlock& block, int r) {
  return block.first_query + Warp() * CodeQueriesOfWarp(kSteps) + 16 * (r / 2) + 8 * (r % 2) +
         Group();
}

template <int kSteps>
W8A8_DEVICE void WriteOutputs(const AttentionProblem& problem, const AttentionBlock& block,
                              const AttentionCodes& codes, const Sums<kSteps>& sums) {
#pragma unroll
  for (int r = 0; r < 2 * CodeRowTiles(kSteps); ++r) {
    const auto weights = static_cast<float>(sums.weights[r / 2][r % 2]);
    const int64_t query = QueryOfLane<kSteps>(block, r);
    if (query >= problem.queries) continue;
    Half* out = block.out + query * problem.args.out.stride;
#pragma unroll
    for (int n = 0; n < 4 * kSteps; ++n) {
      for (int i = 0; i < 2; ++i) {
        const int col = 8 * n + 2 * Quad() + i;
        if (col >= problem.head_dim) continue;
        const auto sum = static_cast<float>(sums.out[r / 2][n][r % 2 * 2 + i]);
        Store(&out[col], Narrow(sum * Load(&codes.v_scale[col]) / weights));
      }
    }
  }
}

template <int kSteps>
W8A8_DEVICE void WriteWeights(const AttentionProblem& problem, const AttentionBlock& block,
                              const AllScores<kSteps>& scores, const Sums<kSteps>& sums,
                              int64_t first_key) {
#pragma unroll
  for (int r = 0; r < 2 * CodeRowTiles(kSteps); ++r) {
    const int64_t query = QueryOfLane<kSteps>(block, r);
    const auto all = static_cast<float>(sums.weights[r / 2][r % 2]);
#pragma unroll
    for (int n = 0; n < kScoreTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int64_t key = first_key + 8 * n + 2 * Quad() + i;
        if (key >= problem.keys || query >= problem.queries) continue;
        const float score = scores.tiles[r / 2][n].of[r % 2 * 2 + i];
        const auto weight = static_cast<float>(WeightOf(score, sums.maximum[r / 2][r % 2]));
        Store(&block.probabilities[query * problem.args.probabilities.stride + key], weight / all);
      }
    }
  }
}

// What a block does with the scores of all keys, each time it looks at them.
enum class Pass : uint8_t { kMaxima, kValues, kProbabilities };

template <int kSteps, Pass kPass>
W8A8_DEVICE void OverKeys(const AttentionProblem& problem, const AttentionBlock& block,
                          const AttentionCodes& codes, const CodeTiles& tiles,
                          const Queries<kSteps>& queries, Sums<kSteps>* sums) {
  for (int64_t first = 0; first < problem.keys; first += kCodeTileKeys) {
    if (first > 0 || kPass != Pass::kMaxima) SyncThreads();
    LoadKeyCodes<kSteps>(problem, block, codes, first, tiles);
    if constexpr (kPass == Pass::kValues) LoadValueCodes(problem, codes, first, tiles);
    SyncThreads();
    for (int key = 0; key < kCodeTileKeys && first + key < problem.keys; key += kKeysAtOnce) {
      const AllScores<kSteps> scores = ScoresOf(problem, queries, tiles, key);
      if constexpr (kPass == Pass::kMaxima) Raise(scores, sums);
      if constexpr (kPass == Pass::kValues) AddValues(scores, tiles, key, problem.head_dim, sums);
      if constexpr (kPass == Pass::kProbabilities) {
        WriteWeights(problem, block, scores, *sums, first + key);
      }
    }
  }
}

int64_t BlocksOfImage(const AttentionProblem& problem, int steps) {
  return (problem.queries + CodeQueriesOfBlock(steps) - 1) / CodeQueriesOfBlock(steps);
}

template <int kSteps>
W8A8_KERNEL void Int8Attention(AttentionProblem problem, int64_t blocks_of_image) {
  AttentionBlock block = BlockOf(problem, BlockIndex() / blocks_of_image);
  block.first_query = BlockIndex() % blocks_of_image * CodeQueriesOfBlock(kSteps);
  const AttentionCodes codes = CodesOf(problem, block.image_head);
  const CodeTiles tiles = CodeTilesOf(kSteps);
  CodeQueries<kSteps>(problem, block, tiles);
  SyncWarp();
  const Queries<kSteps> queries = QueriesOfLane<kSteps>(tiles);
  Sums<kSteps> sums{};
  for (auto& maximum : sums.maximum) maximum[0] = maximum[1] = -kInfinity;
  OverKeys<kSteps, Pass::kMaxima>(problem, block, codes, tiles, queries, &sums);
  for (auto& maximum : sums.maximum) {
    for (float& of_row : maximum) of_row = MaximumOfQuad(of_row);
  }
  OverKeys<kSteps, Pass::kValues>(problem, block, codes, tiles, queries, &sums);
  for (auto& weights : sums.weights) {
    for (int32_t& of_row : weights) of_row = SumOfQuad(of_row);
  }
  WriteOutputs(problem, block, codes, sums);
  if (block.probabilities == nullptr) return;
  OverKeys<kSteps, Pass::kProbabilities>(problem, block, codes, tiles, queries, &sums);
}

template <int kSteps>
void LaunchSteps(Queue queue, const AttentionProblem& problem) {
  const int64_t blocks_of_image = BlocksOfImage(problem, kSteps);
  Launch(queue,
         {.blocks = problem.args.images * problem.args.heads * blocks_of_image,
          .threads = kCodeTileThreads,
          .shared_bytes = CodeTilesBytes(kSteps)},
         Int8Attention<kSteps>, problem, blocks_of_image);
}

}  // namespace

void LaunchInt8Attention(Queue queue, const AttentionProblem& problem) {
  LaunchAttentionCodes(queue, problem);
  if (problem.head_dim <= 2 * kStepCodes) return LaunchSteps<2>(queue, problem);
  if (problem.head_dim <= 3 * kStepCodes) return LaunchSteps<3>(queue, problem);
  LaunchSteps<4>(queue, problem);
}

}  // namespace w8a8
