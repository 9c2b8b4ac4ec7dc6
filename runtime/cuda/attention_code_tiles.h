// A block's codes of queries, keys and values in shared memory, as tensor cores take them: four a
// word. Included by kernel files.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/cuda/attention_codes.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {

constexpr int kCodeTileThreads = 128;  // of a block
constexpr int kCodeTileWarps = kCodeTileThreads / kWarpLanes;
constexpr int kCodeTileKeys = 64;  // in shared memory at a time
constexpr int kStepCodes = 32;     // of a row that one product takes

// A warp has two tiles of 16 queries where registers allow it: what is read from shared memory then
// meets both.
constexpr int CodeRowTiles(int steps) { return steps <= 3 ? 2 : 1; }
constexpr int CodeQueriesOfWarp(int steps) { return 16 * CodeRowTiles(steps); }

// Words from row to row: the eight rows and four words that a warp reads at once lie in 32 banks
// (for 20, 28 and 36 words: eight different multiples of 4, each with three words more).
constexpr int CodeKeyStride(int steps) { return steps * kStepCodes / 4 + 4; }
constexpr int kCodeValueStride = kCodeTileKeys / 4 + 4;

// In shared memory, four codes a word.
struct CodeTiles {
  uint32_t* q;     // [queries of the block, CodeKeyStride()]: codes, then zeros
  uint32_t* k;     // [kCodeTileKeys, CodeKeyStride()], likewise
  uint32_t* v;     // [channels, kCodeValueStride]: codes of keys in the order of PairedKeys()
  float* q_scale;  // [queries of the block]
  float* k_scale;  // [kCodeTileKeys]; negative: nobody attends
};

constexpr int CodeQueriesOfBlock(int steps) { return kCodeTileWarps * CodeQueriesOfWarp(steps); }

inline size_t CodeTilesBytes(int steps) {
  const int words = (CodeQueriesOfBlock(steps) + kCodeTileKeys) * CodeKeyStride(steps) +
                    steps * kStepCodes * kCodeValueStride;
  return static_cast<size_t>(words + CodeQueriesOfBlock(steps) + kCodeTileKeys) * sizeof(uint32_t);
}

W8A8_DEVICE CodeTiles CodeTilesOf(int steps) {
  CodeTiles tiles{};
  tiles.q = SharedAs<uint32_t>(0);
  tiles.k = tiles.q + CodeQueriesOfBlock(steps) * CodeKeyStride(steps);
  tiles.v = tiles.k + kCodeTileKeys * CodeKeyStride(steps);
  tiles.q_scale = reinterpret_cast<float*>(tiles.v + steps * kStepCodes * kCodeValueStride);
  tiles.k_scale = tiles.q_scale + CodeQueriesOfBlock(steps);
  return tiles;
}

W8A8_DEVICE Vec16 LoadCodes(const int8_t* from) {
  return Load(reinterpret_cast<const Vec16*>(from));
}

// A warp's own; queries past the last have codes 0.
template <int kSteps>
W8A8_DEVICE void CodeQueries(const AttentionProblem& problem, const AttentionBlock& block,
                             const CodeTiles& tiles) {
  for (int i = Warp() * CodeQueriesOfWarp(kSteps); i < (Warp() + 1) * CodeQueriesOfWarp(kSteps);
       ++i) {
    const int64_t query = block.first_query + i;
    const int head_dim = query < problem.queries ? problem.head_dim : 0;
    auto* const codes = reinterpret_cast<int8_t*>(tiles.q + i * CodeKeyStride(kSteps));
    const float scale = CodeRow(block.q + query * problem.args.q.stride, nullptr, head_dim, codes,
                                kSteps * kStepCodes);
    if (Lane() == 0) Store(&tiles.q_scale[i], scale);
  }
}

template <int kSteps>
W8A8_DEVICE void LoadKeyCodes(const AttentionProblem& problem, const AttentionBlock& block,
                              const AttentionCodes& codes, int64_t first_key,
                              const CodeTiles& tiles) {
  constexpr int kVectors = kSteps * kStepCodes / 16;
  for (int i = ThreadIndex(); i < kCodeTileKeys * kVectors; i += kCodeTileThreads) {
    const int row = i / kVectors, at = i % kVectors * 16;
    const int64_t key = first_key + row;
    const bool there = key < problem.keys && at < codes.k_stride;
    Store(reinterpret_cast<Vec16*>(&tiles.k[row * CodeKeyStride(kSteps) + at / 4]),
          there ? LoadCodes(&codes.k[key * codes.k_stride + at]) : Vec16{});
  }
  for (int i = ThreadIndex(); i < kCodeTileKeys; i += kCodeTileThreads) {
    const int64_t key = first_key + i;
    Store(&tiles.k_scale[i], IsAttended(problem, block, key) ? Load(&codes.k_scale[key]) : -1.0f);
  }
}

// Codes of sixteen keys of a channel so that a word has those whose weights a lane holds: keys 2 q,
// 2 q + 1, 8 + 2 q and 9 + 2 q in word q. Sums of integers have no order.
W8A8_DEVICE Vec16 PairedKeys(const Vec16& codes) {
  const uint32_t(&w)[4] = codes.words;
  return {{(w[0] & 0xffffu) | w[2] << 16, w[0] >> 16 | (w[2] & 0xffff0000u),
           (w[1] & 0xffffu) | w[3] << 16, w[1] >> 16 | (w[3] & 0xffff0000u)}};
}

W8A8_DEVICE void LoadValueCodes(const AttentionProblem& problem, const AttentionCodes& codes,
                                int64_t first_key, const CodeTiles& tiles) {
  constexpr int kVectors = kCodeTileKeys / 16;
  const int channels = (problem.head_dim + 7) / 8 * 8;
  for (int i = ThreadIndex(); i < channels * kVectors; i += kCodeTileThreads) {
    const int channel = i / kVectors;
    const int64_t key = first_key + i % kVectors * 16;
    const bool there = channel < problem.head_dim && key < codes.v_stride;
    Store(reinterpret_cast<Vec16*>(&tiles.v[channel * kCodeValueStride + i % kVectors * 4]),
          there ? PairedKeys(LoadCodes(&codes.v[channel * codes.v_stride + key])) : Vec16{});
  }
}

}  // namespace w8a8
