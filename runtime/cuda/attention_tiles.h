// How attention's kernels share out their work (those of tensor cores aside): a block has one tile
// of queries of one image and head, and looks at the keys a tile at a time, through shared memory.
// Included by kernel files.
#pragma once

#include <cstdint>
#include <limits>

#include "quant/exponential.h"
#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/block.h"

namespace w8a8 {

constexpr int kAttentionTile = 32;  // queries of a block, and keys at a time
constexpr int kAttentionThreads = 128;
// Sixteen threads share four queries: each has two keys of a tile and every sixteenth column of the
// output, so that a value read from shared memory meets two to eight of the other operand.
constexpr int kQueriesOfThread = 4;
constexpr int kKeysOfThread = 2;
constexpr int kColumnLanes = 16;

struct AttentionProblem {
  BatchAttentionArgs args;
  int64_t queries = 0;  // of an image
  int64_t keys = 0;
  int64_t query_tiles = 0;
  int head_dim = 0;
  bool aligned = false;  // k and v may be read by sixteen bytes
  float scale = 0.0f;    // of scores
};

AttentionProblem MakeAttentionProblem(const BatchAttentionArgs& args);

void LaunchFloatAttention(Queue queue, const AttentionProblem& problem);
void LaunchFloatProbabilities(Queue queue, const AttentionProblem& problem);
void LaunchInt8Attention(Queue queue, const AttentionProblem& problem);
size_t Int8AttentionScratchBytes(const AttentionProblem& problem);

// What a block works on.
struct AttentionBlock {
  int64_t image_head;  // image * heads + head
  int64_t first_query;
  const Half* q;  // of the image's first query, key ...
  const Half* k;
  const Half* v;
  Half* out;
  const uint8_t* key_mask;
  float* probabilities;
};

W8A8_DEVICE AttentionBlock BlockOf(const AttentionProblem& problem, int64_t image_head) {
  const BatchAttentionArgs& args = problem.args;
  const int64_t image = image_head / args.heads;
  const int64_t col = image_head % args.heads * args.head_dim;
  const int64_t query = image * problem.queries, key = image * problem.keys;
  float* const probabilities = args.probabilities.data;
  return {
      .image_head = image_head,
      .first_query = 0,
      .q = args.q.data + query * args.q.stride + col,
      .k = args.k.data + key * args.k.stride + col,
      .v = args.v.data + key * args.v.stride + col,
      .out = args.out.data + query * args.out.stride + col,
      .key_mask = args.key_mask == nullptr ? nullptr : args.key_mask + key,
      .probabilities = probabilities == nullptr ? nullptr
                                                : probabilities + image_head * problem.queries *
                                                                      args.probabilities.stride,
  };
}

// Neighbouring blocks have the same keys.
W8A8_DEVICE AttentionBlock ThisAttentionBlock(const AttentionProblem& problem) {
  AttentionBlock block = BlockOf(problem, BlockIndex() / problem.query_tiles);
  block.first_query = BlockIndex() % problem.query_tiles * kAttentionTile;
  return block;
}

W8A8_DEVICE bool IsAttended(const AttentionProblem& problem, const AttentionBlock& block,
                            int64_t key) {
  return key < problem.keys && (block.key_mask == nullptr || Load(&block.key_mask[key]) != 0);
}

// Of a score that -infinity says nobody looks at: 0.
W8A8_DEVICE float WeightOfScore(float score, float maximum, float scale) {
  return score == -std::numeric_limits<float>::infinity()
             ? 0.0f
             : ExpNonPositive((score - maximum) * scale);
}

// A thread's place in a tile: its first query, and its first key and column.
W8A8_DEVICE int QueryOfThread() { return ThreadIndex() / kColumnLanes * kQueriesOfThread; }
W8A8_DEVICE int LaneOfThread() { return ThreadIndex() % kColumnLanes; }

// Over the threads that share queries. No maximum is ever NaN.
W8A8_DEVICE float MaximumOfLanes(float value) {
  for (int mask = kColumnLanes / 2; mask > 0; mask /= 2) {
    const float other = ShuffleXor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}
template <class T>
W8A8_DEVICE T SumOfLanes(T value) {
  for (int mask = kColumnLanes / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}

// Whole sixteen bytes, an odd number of them: eight rows that are read at once lie in as many
// banks.
constexpr int OddVectors(int bytes) {
  const int vectors = (bytes + 15) / 16;
  return (vectors % 2 == 0 ? vectors + 1 : vectors) * 16;
}

// Columns of the output that a thread has, as far as kernels are compiled.
template <class Launch>
void WithColumnsOfThread(int head_dim, const Launch& launch) {
  if (head_dim <= 64) return launch.template operator()<4>();
  if (head_dim <= 80) return launch.template operator()<5>();
  if (head_dim <= 96) return launch.template operator()<6>();
  launch.template operator()<8>();
}

}  // namespace w8a8
