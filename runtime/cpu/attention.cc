#include "runtime/cpu/attention.h"

#include <cmath>

#include "runtime/base/error.h"
#include "runtime/cpu/softmax.h"

namespace w8a8 {
namespace {

// A row stride that is an even number of cache lines sends every row of a column to few cache
// sets; one line more avoids that.
int64_t ScoresStride(int64_t keys) {
  const int64_t padded = PaddedToSoftmaxLanes(keys);
  return padded % 32 == 0 ? padded + kSoftmaxLanes : padded;
}

MatView<float> Room(int64_t rows, int64_t cols, AlignedBuffer<float>* buffer) {
  return {buffer->Reserve(rows * cols), rows, cols, cols};
}

MatView<float> Widen(MatView<const Half> from, AlignedBuffer<float>* to) {
  const MatView<float> values = Room(from.rows, from.cols, to);
  for (int64_t row = 0; row < from.rows; ++row) {
    ToFloat(from.row_span(row), values.row_span(row));
  }
  return values;
}

}  // namespace

int64_t Attention::scratch_bytes() const {
  int64_t floats = 0;
  for (const auto* buffer : {&q_, &k_, &v_, &scores_, &inv_sums_, &out_}) {
    floats += buffer->capacity();
  }
  return floats * static_cast<int64_t>(sizeof(float));
}

void Attention::Run(const AttentionArgs& args, FloatGemm* gemm) {
  const int64_t width = args.heads * args.head_dim;
  W8A8_CHECK(args.q.cols == width && args.k.cols == width && args.v.cols == width);
  W8A8_CHECK(args.out.cols == width && args.out.rows == args.q.rows && args.k.rows == args.v.rows);
  const MatView<float> q = Widen(args.q, &q_);
  const MatView<float> k = Widen(args.k, &k_);
  const MatView<float> v = Widen(args.v, &v_);
  const MatView<float> out = Room(q.rows, width, &out_);
  const MatView<float> padded_scores = Room(q.rows, ScoresStride(k.rows), &scores_);
  const MatView<float> scores = padded_scores.ColRange(0, k.rows);
  float* inv_sums = Room(1, q.rows, &inv_sums_).data;
  const float scale = 1.0f / std::sqrt(static_cast<float>(args.head_dim));
  for (int64_t head = 0; head < args.heads; ++head) {
    const int64_t first = head * args.head_dim;
    gemm->MultiplyTransposed(q.ColRange(first, args.head_dim), k.ColRange(first, args.head_dim),
                             scores);
    const MatView<float> head_out = out.ColRange(first, args.head_dim);
    for (int64_t row = 0; row < q.rows; ++row) {
      inv_sums[row] = 1.0f / SoftmaxNumerators(scores.row(row), k.rows, scale);
    }
    gemm->Multiply(scores, v.ColRange(first, args.head_dim), head_out);
    for (int64_t row = 0; row < q.rows; ++row) {
      for (float& value : head_out.row_span(row)) value *= inv_sums[row];
    }
  }
  for (int64_t row = 0; row < q.rows; ++row) ToHalf(out.row_span(row), args.out.row_span(row));
}

}  // namespace w8a8
