#include "runtime/cpu/attention.h"

#include "runtime/base/error.h"

namespace w8a8 {

void RunAttention(const AttentionKernel& kernel, const AttentionArgs& args,
                  AttentionScratch* scratch) {
  const int64_t width = args.heads * args.head_dim;
  W8A8_CHECK(args.q.cols == width && args.k.cols == width && args.v.cols == width);
  W8A8_CHECK(args.out.cols == width && args.out.rows == args.q.rows && args.k.rows == args.v.rows);
  W8A8_CHECK(args.k.stride == args.v.stride);
  W8A8_CHECK(args.key_mask.empty() || static_cast<int64_t>(args.key_mask.size()) == args.k.rows);
  const int64_t queries = args.q.rows;
  const MatView<float>& all = args.probabilities;
  scratch->Reserve(kernel.scratch_bytes(args.k.rows, args.head_dim));
  for (int64_t head = 0; head < args.heads; ++head) {
    const int64_t first = head * args.head_dim;
    kernel.run_head({.q = args.q.data + first,
                     .q_stride = args.q.stride,
                     .k = args.k.data + first,
                     .v = args.v.data + first,
                     .kv_stride = args.k.stride,
                     .out = args.out.data + first,
                     .out_stride = args.out.stride,
                     .queries = queries,
                     .keys = args.k.rows,
                     .head_dim = args.head_dim,
                     .key_mask = args.key_mask.empty() ? nullptr : args.key_mask.data(),
                     .probabilities = all.rows > 0 ? all.row(head * queries) : nullptr,
                     .probabilities_stride = all.stride,
                     .scratch = scratch->data()});
  }
}

}  // namespace w8a8
