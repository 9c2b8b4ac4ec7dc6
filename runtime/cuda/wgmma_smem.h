// Shared memory of a block of the sm_90a INT8 product: where each part stands, how TMA's 128-byte
// swizzle lays a stage out, the descriptor with which the tensor cores read it, and the addresses
// of the epilogue's staging. Byte offsets from the block's dynamic shared memory, which begins at a
// multiple of 1,024.
#pragma once

#include "runtime/cuda/wgmma_schedule.h"

namespace w8a8 {

constexpr uint32_t kSwizzleAtom = 1024;              // 8 rows of 128 bytes
constexpr uint32_t kWgmmaSharedMemory = 227 * 1024;  // what a block of sm_90 can have

// TMA's 128-byte swizzle: bits 4..6 of an address (which 16 bytes of a row) are those of the
// offset, exclusive or bits 7..9 (the row, modulo 8). Of addresses, too: all parts are aligned.
W8A8_HOST_DEVICE constexpr uint32_t Swizzled(uint32_t offset) {
  return offset ^ ((offset >> 3) & 0x70u);
}

// What a consumer warp stages: 16 rows of 64 FP16 values.
constexpr uint32_t kStagedRows = 16;
constexpr uint32_t kStagingBytes = kStagedRows * kChunkColumns * 2;
// Per column of a tile: scale_w and bias side by side, then layer scales.
constexpr uint32_t kColumnBytes = 3 * sizeof(float);

struct WgmmaLayout {
  uint32_t x;        // stages of x: [stages][rows][128], swizzled
  uint32_t w;        // stages of w: [stages][columns][128], swizzled
  uint32_t staging;  // [consumer warps][16][128], swizzled
  uint32_t columns;  // [consumers] of ColumnOffset and LayerScaleOffset
  uint32_t full;     // mbarriers, 8 bytes each
  uint32_t empty;
  uint32_t end;
};

W8A8_HOST_DEVICE constexpr WgmmaLayout LayoutOf(WgmmaTileShape shape) {
  constexpr uint32_t kWarps = kWgmmaConsumers * kWarpgroupThreads / 32;
  const auto stages = static_cast<uint32_t>(shape.stages);
  WgmmaLayout layout{};
  layout.w = layout.x + stages * static_cast<uint32_t>(shape.rows * kStageDepth);
  layout.staging = layout.w + stages * static_cast<uint32_t>(shape.columns * kStageDepth);
  layout.columns = layout.staging + kWarps * kStagingBytes;
  layout.full =
      layout.columns + kWgmmaConsumers * static_cast<uint32_t>(shape.columns) * kColumnBytes;
  layout.empty = layout.full + stages * 8;
  layout.end = layout.empty + stages * 8;
  return layout;
}

W8A8_HOST_DEVICE constexpr uint32_t StageX(WgmmaTileShape shape, uint32_t stage) {
  return LayoutOf(shape).x + stage * static_cast<uint32_t>(shape.rows * kStageDepth);
}
W8A8_HOST_DEVICE constexpr uint32_t StageW(WgmmaTileShape shape, uint32_t stage) {
  return LayoutOf(shape).w + stage * static_cast<uint32_t>(shape.columns * kStageDepth);
}

// Rows of one TMA box: of w each block loads half, for both.
W8A8_HOST_DEVICE constexpr int32_t BoxRowsX(WgmmaTileShape shape) { return shape.rows; }
W8A8_HOST_DEVICE constexpr int32_t BoxRowsW(WgmmaTileShape shape) {
  return shape.columns / kWgmmaClusterSize;
}

// The matrix descriptor of wgmma: a K-major operand in 128-byte swizzle whose 8-row groups follow
// each other. `address` (of shared memory, below 2^18) begins a row of a group, 32-byte steps of K
// further on by AdvancedK.
W8A8_HOST_DEVICE constexpr uint64_t WgmmaDescriptor(uint32_t address) {
  constexpr uint64_t kUnusedLeading = 1;  // the leading byte offset means nothing in this layout
  constexpr uint64_t kGroupStride = kSwizzleAtom >> 4;
  constexpr uint64_t kSwizzle128 = 1;
  return ((address & 0x3ffffu) >> 4) | kUnusedLeading << 16 | kGroupStride << 32 |
         kSwizzle128 << 62;
}

// The swizzle is made of address bits, so a step of 32 bytes inside the first row leads to the same
// step in every row. No carry: the start's low bits hold at most 96 + the aligned address.
W8A8_HOST_DEVICE constexpr uint64_t AdvancedK(uint64_t descriptor, int step) {
  return descriptor + static_cast<uint64_t>(step) * (kWgmmaDepth >> 4);
}

// ---- columns ----

// Of a consumer's part: {scale_w, bias} of a column.
W8A8_HOST_DEVICE constexpr uint32_t ColumnOffset(uint32_t column) { return column * 8; }
W8A8_HOST_DEVICE constexpr uint32_t LayerScaleOffset(WgmmaTileShape shape, uint32_t column) {
  return static_cast<uint32_t>(shape.columns) * 8 + column * 4;
}

// ---- staging ----

// Address in a warp's staging of 16 bytes: row 0..15, piece 0..7 (8 FP16 values each).
W8A8_HOST_DEVICE constexpr uint32_t StagedPiece(uint32_t row, uint32_t piece) {
  return Swizzled(row * 128 + piece * 16);
}

// stmatrix.x4 stores four 8 x 8 matrices; lanes 8 i .. 8 i + 7 name the rows of matrix i. Matrices
// 0, 1: rows 0-7 and 8-15 of 8 columns, 2, 3: of the next 8. `pair` counts 16 columns, address bits
// that the swizzle only flips. The 8 rows of a matrix lie in 8 different 16-byte columns of the
// banks: no conflict.
W8A8_HOST_DEVICE constexpr uint32_t StoreMatrixBegin(uint32_t lane) {
  const uint32_t matrix = lane / 8;
  return StagedPiece(lane % 8 + 8 * (matrix % 2), matrix / 2);
}
W8A8_HOST_DEVICE constexpr uint32_t StoreMatrixAddress(uint32_t begin, uint32_t pair) {
  return begin ^ (pair * 32);
}

// What a lane takes out in turn 0..3: 8 lanes a row, so 8 lanes read all banks once and write 128
// contiguous bytes of y.
struct Piece {
  uint32_t row, piece;
};
constexpr uint32_t kPieceTurns = 4;
W8A8_HOST_DEVICE constexpr Piece PieceOf(uint32_t lane, uint32_t turn) {
  return {turn * 4 + lane / 8, lane % 8};
}
// Its address: rows 4 apart differ in one bit of the swizzle.
W8A8_HOST_DEVICE constexpr uint32_t TakenBegin(uint32_t lane) {
  return StagedPiece(lane / 8, lane % 8);
}
W8A8_HOST_DEVICE constexpr uint32_t TakenAddress(uint32_t begin, uint32_t turn) {
  return (begin ^ (turn % 2 * 64)) + turn * 512;
}

}  // namespace w8a8
