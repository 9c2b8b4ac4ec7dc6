// The main loop of products on tensor cores by mma.sync, for int8 and for FP16: fragments lie alike
// in bytes. Included by kernel files alone.
#pragma once

#include <cstdint>

#include "runtime/cuda/block.h"

namespace w8a8::tensor {

// A block makes kTile x kTile outputs, kStep bytes of inputs at a time; its eight warps stand 2 x
// 4, each with 64 x 32 outputs: 4 x 4 products of 16 x 8, 64 accumulators a thread.
constexpr int kTile = 128;
constexpr int kStep = 64;
constexpr int kThreads = 256;
constexpr int kWarpRows = 64, kWarpCols = 32;
constexpr int kMmaRows = 16, kMmaCols = 8, kMmaBytes = 32;
constexpr int kRowTiles = kWarpRows / kMmaRows, kColTiles = kWarpCols / kMmaCols;
// 80 bytes from row to row: the eight rows and four words that a warp loads at once lie in 32
// different banks (20 words a row: 0, 20, 8, 28, 16, 4, 24, 12, each with three words more).
constexpr int kSharedStride = kStep + 16;
constexpr int kOperandBytes = kTile * kSharedStride;
// One of two buffers holds both operands: the next step is stored while this one is multiplied.
constexpr int kBufferBytes = 2 * kOperandBytes;
constexpr size_t kSharedBytes = 2 * kBufferBytes;
constexpr int kVectorsOfRow = kStep / 16;
constexpr int kVectors = kTile * kVectorsOfRow / kThreads;  // of one operand, a thread's

// Rows of inputs, 16-byte aligned, of `bytes` each: a multiple of 16, zeros behind the last input.
struct Operand {
  const std::byte* rows;
  int64_t count, bytes, stride_bytes;
};

// A thread's part of one step of an operand, zeros outside the matrix.
struct Staged {
  Vec16 vectors[kVectors];
};

W8A8_DEVICE Staged Fetch(const Operand& from, int64_t first_row, int64_t first_byte) {
  Staged staged;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int at = ThreadIndex() + v * kThreads;
    const int64_t row = first_row + at / kVectorsOfRow;
    const int64_t byte = first_byte + at % kVectorsOfRow * 16;
    staged.vectors[v] = Vec16{};
    if (row < from.count && byte < from.bytes) {
      staged.vectors[v] =
          Load(reinterpret_cast<const Vec16*>(from.rows + row * from.stride_bytes + byte));
    }
  }
  return staged;
}

W8A8_DEVICE void Put(const Staged& staged, std::byte* shared) {
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int at = ThreadIndex() + v * kThreads;
    std::byte* to = shared + at / kVectorsOfRow * kSharedStride + at % kVectorsOfRow * 16;
    Store(reinterpret_cast<Vec16*>(to), staged.vectors[v]);
  }
}

W8A8_DEVICE uint32_t Word(const std::byte* shared, int row, int byte) {
  return Load(reinterpret_cast<const uint32_t*>(shared + row * kSharedStride + byte));
}

// Adds one buffer's products to four accumulators. Tensor cores cut sums of floats off towards 0
// (Fasi et al. 2021, doi 10.7717/peerjcs.330): over K = 588 that comes to 2.3 times the error of a
// plain loop. So each buffer's sum begins at 0, where little is cut off, and is added with
// rounding.
constexpr int kMmas = kStep / kMmaBytes;  // of one buffer
W8A8_DEVICE void AddProducts(int32_t (&acc)[4], const uint32_t (&a)[kMmas][4],
                             const uint32_t (&b)[kMmas][2]) {
#pragma unroll
  for (int k = 0; k < kMmas; ++k) MmaS8(acc, a[k], b[k]);
}
W8A8_DEVICE void AddProducts(float (&acc)[4], const uint32_t (&a)[kMmas][4],
                             const uint32_t (&b)[kMmas][2]) {
  float sum[4] = {};
#pragma unroll
  for (int k = 0; k < kMmas; ++k) MmaHalf(sum, a[k], b[k]);
#pragma unroll
  for (int e = 0; e < 4; ++e) acc[e] += sum[e];
}

// Acc: int32_t for int8 inputs, float for FP16.
template <class Acc>
using Accumulators = Acc[kRowTiles][kColTiles][4];

// One buffer's products, added to the accumulators.
template <class Acc>
W8A8_DEVICE void MultiplyBuffer(const std::byte* x, const std::byte* weight,
                                Accumulators<Acc>& acc) {
  const int row = Warp() / 4 * kWarpRows + Lane() / 4;
  const int col = Warp() % 4 * kWarpCols + Lane() / 4;
  const int first = 4 * (Lane() % 4);
  uint32_t b[kColTiles][kMmas][2];
#pragma unroll
  for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
    for (int i = 0; i < 2 * kMmas; ++i) {
      b[j][i / 2][i % 2] = Word(weight, col + j * kMmaCols, first + i * kMmaBytes / 2);
    }
  }
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    uint32_t a[kMmas][4];
#pragma unroll
    for (int e = 0; e < 4 * kMmas; ++e) {
      a[e / 4][e % 4] = Word(x, row + i * kMmaRows + 8 * (e % 2), first + e / 2 * kMmaBytes / 2);
    }
#pragma unroll
    for (int j = 0; j < kColTiles; ++j) AddProducts(acc[i][j], a, b[j]);
  }
}

// The block's tile of x * weight^T; then store(row, col, acc) for each of the thread's
// accumulators, those outside the matrix too.
template <class Acc, class StoreAt>
W8A8_DEVICE void MultiplyTile(const Operand& x, const Operand& weight, const StoreAt& store) {
  const int64_t first_row = BlockIndexY() * kTile, first_col = BlockIndex() * kTile;
  std::byte* const shared = SharedAs<std::byte>(0);
  Accumulators<Acc> acc = {};
  Staged next_x = Fetch(x, first_row, 0), next_weight = Fetch(weight, first_col, 0);
  int buffer = 0;
  for (int64_t k = 0; k < x.bytes; k += kStep) {
    std::byte* const of_x = shared + buffer * kBufferBytes;
    Put(next_x, of_x);
    Put(next_weight, of_x + kOperandBytes);
    // Whoever stores to a buffer has passed the barrier after which the other was multiplied, so
    // nobody multiplies this one any more.
    SyncThreads();
    if (k + kStep < x.bytes) {
      next_x = Fetch(x, first_row, k + kStep);
      next_weight = Fetch(weight, first_col, k + kStep);
    }
    MultiplyBuffer<Acc>(of_x, of_x + kOperandBytes, acc);
    buffer ^= 1;
  }
  const int64_t row = first_row + Warp() / 4 * kWarpRows + Lane() / 4;
  const int64_t col = first_col + Warp() % 4 * kWarpCols + 2 * (Lane() % 4);
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        store(row + i * kMmaRows + 8 * (e / 2), col + j * kMmaCols + e % 2, acc[i][j][e]);
      }
    }
  }
}

// Blocks of an m x n product.
inline LaunchShape ShapeOf(int64_t m, int64_t n) {
  return {.blocks = (n + kTile - 1) / kTile,
          .blocks_y = (m + kTile - 1) / kTile,
          .threads = kThreads,
          .shared_bytes = kSharedBytes};
}

}  // namespace w8a8::tensor
