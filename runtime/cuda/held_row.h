// A row that a block holds in shared memory as its quantizer sees it: widened, smoothed, rotated
// (numerics.md section 6). Compiled with the kernels only.
#pragma once

#include <bit>
#include <cstdint>

#include "quant/numerics.h"
#include "runtime/base/half.h"
#include "runtime/cuda/block.h"
#include "runtime/cuda/quantize_kernels.h"
#include "runtime/cuda/row_pieces.h"

namespace w8a8 {

// The butterflies of distance h within eight values.
template <int h>
W8A8_DEVICE void Butterflies(Piece<float>* v) {
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    if (i % (2 * h) >= h) continue;
    const float a = v->values[i], b = v->values[i + h];
    v->values[i] = a + b;
    v->values[i + h] = a - b;
  }
}

struct alignas(16) FourValues {
  float values[4];
};

// Those of distance h >= 8 over the row, four neighbours at a time.
W8A8_DEVICE void ButterfliesApart(float* v, int cols, int h) {
  auto* const fours = reinterpret_cast<Vec16*>(v);
  const int distance = h / 4;
  for (int i = ThreadIndex(); i < cols / 8; i += BlockThreads()) {
    const int below = i & (distance - 1);  // h is a power of two
    const int at = 2 * (i - below) + below;
    const auto a = std::bit_cast<FourValues>(Load(fours + at));
    const auto b = std::bit_cast<FourValues>(Load(fours + at + distance));
    FourValues sum, difference;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      sum.values[j] = a.values[j] + b.values[j];
      difference.values[j] = a.values[j] - b.values[j];
    }
    Store(fours + at, std::bit_cast<Vec16>(sum));
    Store(fours + at + distance, std::bit_cast<Vec16>(difference));
  }
}

// I - (2/q) J over the q values of equal index in their blocks.
W8A8_DEVICE void MixBlocks(float* v, int cols, int block, float mix) {
  for (int i = ThreadIndex(); i < block; i += BlockThreads()) {
    float sum = Load(v + i);
    for (int at = i + block; at < cols; at += block) sum += Load(v + at);
    for (int at = i; at < cols; at += block) Store(v + at, Fma(mix, sum, Load(v + at)));
  }
}

// Eight inputs widened, times their factors, with the butterflies that stay among them.
W8A8_DEVICE Piece<float> Begun(const RowTransform& transform, const Piece<Half>& x, int64_t col,
                               int count, bool aligned) {
  Piece<float> v;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) v.values[i] = Widen(x.values[i]);
  if (transform.factors == nullptr) return v;
  const Piece<float> factors = LoadPiece(transform.factors + col, count, aligned);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) v.values[i] *= factors.values[i];
  if (transform.block > 1) Butterflies<1>(&v);
  if (transform.block > 2) Butterflies<2>(&v);
  if (transform.block > 4) Butterflies<4>(&v);
  return v;
}

// The row `x` in `v`, which has room for whole pieces; all threads see it.
W8A8_DEVICE void HoldRow(const RowTransform& transform, const Half* x, int cols, bool aligned,
                         float* v) {
  for (int col = ThreadIndex() * kPiece; col < cols; col += BlockThreads() * kPiece) {
    const int count = CountAt(col, cols);
    const Piece<Half> piece = LoadPiece(x + col, count, aligned);
    StorePiece(v + col, Begun(transform, piece, col, count, aligned), kPiece, true);
  }
  SyncThreads();
  if (transform.factors == nullptr || transform.block == 0) return;
  const int block = static_cast<int>(transform.block);
  for (int h = kPiece; h < block; h *= 2) {
    ButterfliesApart(v, cols, h);
    SyncThreads();
  }
  if (transform.mix != 0.0f) {
    MixBlocks(v, cols, block, transform.mix);
    SyncThreads();
  }
  for (int k = ThreadIndex(); k < cols; k += BlockThreads()) {
    Store(v + k, Load(v + k) * transform.norm);
  }
  SyncThreads();
}

}  // namespace w8a8
