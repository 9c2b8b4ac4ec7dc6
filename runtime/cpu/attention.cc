#include "runtime/cpu/attention.h"

#include <cmath>
#include <limits>

#include "runtime/base/error.h"
#include "runtime/cpu/float_scratch.h"

namespace w8a8 {
namespace {

// A row stride that is an even number of cache lines sends every row of a column to few cache
// sets; one line more avoids that.
int64_t ScoresStride(int64_t keys) {
  const int64_t padded = PaddedToSoftmaxLanes(keys);
  return padded % 32 == 0 ? padded + kSoftmaxLanes : padded;
}

void HideKeys(std::span<const uint8_t> key_mask, std::span<float> scores) {
  for (size_t key = 0; key < key_mask.size(); ++key) {
    if (key_mask[key] == 0) scores[key] = -std::numeric_limits<float>::infinity();
  }
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
  W8A8_CHECK(args.key_mask.empty() || static_cast<int64_t>(args.key_mask.size()) == args.k.rows);
  const MatView<float> q = Widen(kernels_.half, args.q, &q_);
  const MatView<float> k = Widen(kernels_.half, args.k, &k_);
  const MatView<float> v = Widen(kernels_.half, args.v, &v_);
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
      HideKeys(args.key_mask, scores.row_span(row));
      float sum = 0.0f;
      kernels_.softmax_row(
          {.scores = scores.row(row), .count = k.rows, .scale = scale, .sum = &sum});
      inv_sums[row] = 1.0f / sum;
    }
    if (args.probabilities.rows > 0) {
      for (int64_t row = 0; row < q.rows; ++row) {
        float* to = args.probabilities.row(head * q.rows + row);
        for (int64_t key = 0; key < k.rows; ++key) to[key] = scores.row(row)[key] * inv_sums[row];
      }
    }
    gemm->Multiply(scores, v.ColRange(first, args.head_dim), head_out);
    for (int64_t row = 0; row < q.rows; ++row) {
      for (float& value : head_out.row_span(row)) value *= inv_sums[row];
    }
  }
  for (int64_t row = 0; row < q.rows; ++row) {
    Narrow(kernels_.half, out.row_span(row), args.out.row_span(row));
  }
}

}  // namespace w8a8
