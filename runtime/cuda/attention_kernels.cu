// Which kernels a launch of attention takes.
#include <cmath>

#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/attention_tiles.h"
#include "runtime/cuda/block.h"

namespace w8a8 {
namespace {

// True if rows may be read by sixteen bytes from every eighth column on.
bool AllowsVectors(const MatView<const Half>& rows) {
  return reinterpret_cast<uintptr_t>(rows.data) % sizeof(Vec16) == 0 && rows.stride % 8 == 0;
}

}  // namespace

AttentionProblem MakeAttentionProblem(const BatchAttentionArgs& args) {
  const int64_t queries = args.q.rows / args.images;
  return {.args = args,
          .queries = queries,
          .keys = args.k.rows / args.images,
          .query_tiles = (queries + kAttentionTile - 1) / kAttentionTile,
          .head_dim = static_cast<int>(args.head_dim),
          .aligned = args.head_dim % 8 == 0 && AllowsVectors(args.k) && AllowsVectors(args.v),
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
  if (args.probabilities.data != nullptr) LaunchFloatProbabilities(queue, problem);
}

}  // namespace w8a8
