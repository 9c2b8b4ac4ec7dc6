// Binary32 matrix products of the float steps: oneDNN's matmul primitive, strict fpmath, one thread
// per call. numerics.md, "Float matrix products": the caller hands in one image's rows at a time,
// so that a result never depends on the batch or on the number of workers.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/backend.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// A [N, K] weight matrix as oneDNN reads it. The layout is the checkpoint's own, row-major with K
// contiguous: the primitive packs panels itself, and on ViT shapes (197 rows, AVX2) it ran at 44 to
// 48 GMAC/s from this layout against 28 to 50 from the one that it asks for.
class FloatWeights final : public PackedWeights {
 public:
  explicit FloatWeights(MatView<const float> weight);
  MatView<const float> view() const { return {values_.data(), n_, k_, k_}; }

 private:
  AlignedBuffer<float> values_;
  int64_t n_;
  int64_t k_;
};

// One per worker thread: holds the primitives it has made, one per shape and strides. May move
// between threads, but serves one call at a time. Throws Error where oneDNN refuses a shape.
class FloatGemm {
 public:
  FloatGemm();
  ~FloatGemm();
  FloatGemm(const FloatGemm&) = delete;
  FloatGemm& operator=(const FloatGemm&) = delete;

  // out[m, n] = sum_k a[m, k] * b[n, k].
  void MultiplyTransposed(MatView<const float> a, MatView<const float> b, MatView<float> out);

  int64_t primitives() const;  // kept; constant once every shape was seen, where those are few

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace w8a8
