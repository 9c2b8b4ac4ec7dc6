// The epilogue of the sm_90a INT8 product: which outputs a thread's sums belong to, and what
// becomes of one, in the arithmetic of quant/numerics.h. Host and device.
//
// A consumer warp takes its 16 rows of a slab in chunks of 64 columns. Each lane turns its sums
// into FP16 and stages them; then each lane takes out pieces of 8 neighbouring values, which it
// stores, or turns into codes first. FP16 stands between the two because numerics.md rounds there.
#pragma once

#include "quant/numerics.h"
#include "runtime/cuda/wgmma_smem.h"
#include "runtime/encoder/config.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#else
#include "runtime/base/half.h"
#endif

#if defined(__CUDACC__)
#define W8A8_KERNEL_CODE __device__ __forceinline__
#define W8A8_UNROLLED _Pragma("unroll")
#else
#define W8A8_KERNEL_CODE inline
#define W8A8_UNROLLED
#endif

namespace w8a8 {

// What the kernel is told of a product, beside the two matrices.
struct WgmmaOutputs {
  int32_t m = 0, n = 0, k = 0;
  const float* scale_x = nullptr;
  int32_t scale_x_step = 1;            // 0: one scale for all rows
  const float* scale_w = nullptr;      // [n]
  const float* bias = nullptr;         // [n], or none
  const float* layer_scale = nullptr;  // [n], or none: 1
  const uint16_t* residual = nullptr;  // patterns [m, n], may be `out`
  int64_t residual_stride = 0;         // values
  void* out = nullptr;
  int64_t out_stride = 0;  // bytes
  ActivationKind activation = ActivationKind::kGeluTanh;
  float inv_scale = 0;  // of the codes
};

// The pattern of the nearest FP16, ties to even.
W8A8_HOST_DEVICE inline uint16_t HalfPattern(float value) {
#if defined(__CUDACC__)
  return __half_as_ushort(__float2half_rn(value));
#else
  return ToHalf(value).bits;
#endif
}

W8A8_HOST_DEVICE inline float PatternValue(uint16_t pattern) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(pattern));
#else
  return ToFloat(Half{pattern});
#endif
}

// ---- where a sum belongs ----

// Sum `index` of a thread's columns / 2 sums of a slab: the accumulator fragment of wgmma m64nN.
struct SlabPlace {
  int32_t row, column;
};
W8A8_HOST_DEVICE constexpr SlabPlace PlaceOf(int32_t thread, int32_t index) {
  const int32_t warp = thread / 32, lane = thread % 32;
  return {warp * 16 + lane / 4 + 8 * (index / 2 % 2), index / 4 * 8 + lane % 4 * 2 + index % 2};
}

// How many of `count` values from `column` on are columns of y.
W8A8_HOST_DEVICE constexpr int32_t Inside(int32_t n, int32_t column, int32_t count) {
  const int32_t left = n - column;
  return left < 0 ? 0 : left < count ? left : count;
}

// Registers of stmatrix: sums 8 p .. 8 p + 7 of 16 columns become 4 registers of 2 values each, the
// lower column in the lower half: rows r and r + 8 of one 8 columns, then of the next.
constexpr int kPairSums = 8;
constexpr int kChunkPairs = kChunkColumns / 16;
constexpr int kChunkSums = kChunkPairs * kPairSums;

// ---- what becomes of a sum ----

// Of two neighbouring columns, as they stand in shared memory.
struct alignas(16) ColumnScales {
  float scale_w, bias, next_scale_w, next_bias;
};
struct alignas(8) LayerScalePair {
  float scale, next_scale;
};

// Two neighbouring FP16 values of a row, the lower column in the lower half.
W8A8_HOST_DEVICE inline uint32_t HalfPair(float low, float high) {
#if defined(__CUDACC__)
  const __half2 pair = __floats2half2_rn(low, high);
  return static_cast<uint32_t>(__half_as_ushort(__low2half(pair))) |
         static_cast<uint32_t>(__half_as_ushort(__high2half(pair))) << 16;
#else
  return static_cast<uint32_t>(ToHalf(low).bits) | static_cast<uint32_t>(ToHalf(high).bits) << 16;
#endif
}
W8A8_HOST_DEVICE inline float LowValue(uint32_t pair) {
  return PatternValue(static_cast<uint16_t>(pair));
}
W8A8_HOST_DEVICE inline float HighValue(uint32_t pair) {
  return PatternValue(static_cast<uint16_t>(pair >> 16));
}

W8A8_HOST_DEVICE inline uint32_t DequantizedPair(int32_t sum, int32_t next, ColumnScales columns,
                                                 float scale_x) {
  return HalfPair(Dequantize(sum, columns.scale_w, scale_x, columns.bias),
                  Dequantize(next, columns.next_scale_w, scale_x, columns.next_bias));
}

// y is rounded to FP16 before it meets the stream: the slot that the fusion removes.
W8A8_HOST_DEVICE inline uint32_t StreamPair(uint32_t y, LayerScalePair layer, uint32_t residual) {
  return HalfPair(Residual(layer.scale, LowValue(y), LowValue(residual)),
                  Residual(layer.next_scale, HighValue(y), HighValue(residual)));
}

template <ActivationKind kActivation>
W8A8_HOST_DEVICE inline float Activated(float x) {
  if constexpr (kActivation == ActivationKind::kGeluErf) return GeluErf(x);
  if constexpr (kActivation == ActivationKind::kGeluTanh) return GeluTanh(x);
  if constexpr (kActivation == ActivationKind::kQuickGelu) return QuickGelu(x);
  if constexpr (kActivation == ActivationKind::kSilu) return Silu(x);
}

// The activation function's value is rounded to FP16 as well.
template <ActivationKind kActivation>
W8A8_HOST_DEVICE inline int8_t ActivatedCode(uint16_t y, float inv_scale) {
  const uint16_t activated = HalfPattern(Activated<kActivation>(PatternValue(y)));
  return ActivationCode(PatternValue(activated), inv_scale);
}

// ---- staging: from sums to FP16 pairs in shared memory ----

// Residual pairs of a lane's sums of one chunk, in the order of the sums.
struct ResidualPairs {
  uint32_t pair[kChunkSums / 2];
};

// Of row `row` (of the first of the two rows that the lane has sums of) and 64 columns from `begin`
// on. Rows beyond m read the last one: nobody stores them. Not through the read-only cache, because
// the stream may be the output.
W8A8_KERNEL_CODE ResidualPairs LoadResidual(const WgmmaOutputs& outputs, int32_t row, int32_t begin,
                                            int32_t lane) {
  const int32_t mine = begin + PlaceOf(lane, 0).column, last = outputs.m - 1;
  const int64_t above = row < last ? row : last, below = row + 8 < last ? row + 8 : last;
  const uint16_t* rows[2] = {outputs.residual + above * outputs.residual_stride + mine,
                             outputs.residual + below * outputs.residual_stride + mine};
  ResidualPairs pairs;
  if (begin + kChunkColumns <= outputs.n) {
    W8A8_UNROLLED for (int i = 0; i < kChunkSums / 2; ++i) {
      pairs.pair[i] = *reinterpret_cast<const uint32_t*>(rows[i % 2] + i / 2 * 8);
    }
    return pairs;
  }
  W8A8_UNROLLED for (int i = 0; i < kChunkSums / 2; ++i) {
    const uint16_t* from = rows[i % 2] + i / 2 * 8;
    const int32_t inside = Inside(outputs.n, mine + i / 2 * 8, 2);
    pairs.pair[i] = inside < 1 ? 0u : from[0];
    if (inside == 2) pairs.pair[i] |= static_cast<uint32_t>(from[1]) << 16;
  }
  return pairs;
}

// 16 bytes: 8 FP16 values of a row, or one register of each of stmatrix' four matrices.
struct alignas(16) Words {
  uint32_t word[4];
};

// A lane's registers of stmatrix for 16 columns of a chunk. `columns` answers Scales(column) and
// LayerScales(column) for two neighbours, the column counted from the tile's first.
template <WgmmaEpilogue kEpilogue, int kSums, class Columns>
W8A8_KERNEL_CODE Words StageWords(const int32_t (&sums)[kSums], const float (&scale_x)[2],
                                  const ResidualPairs& residual, const Columns& columns,
                                  int32_t lane, int chunk, int pair) {
  Words words;
  W8A8_UNROLLED for (int i = 0; i < 4; ++i) {
    const int index = (chunk * kChunkPairs + pair) * kPairSums + 2 * i;
    const int32_t column = PlaceOf(lane, index).column;
    const ColumnScales scales = columns.Scales(column);
    words.word[i] = DequantizedPair(sums[index], sums[index + 1], scales, scale_x[i % 2]);
    if constexpr (kEpilogue == WgmmaEpilogue::kResidual) {
      words.word[i] =
          StreamPair(words.word[i], columns.LayerScales(column), residual.pair[pair * 4 + i]);
    }
  }
  return words;
}

// ---- pieces: from shared memory to y ----

W8A8_KERNEL_CODE uint16_t* HalvesAt(const WgmmaOutputs& outputs, int32_t row, int32_t column) {
  uint8_t* begin = static_cast<uint8_t*>(outputs.out) + row * outputs.out_stride;
  return reinterpret_cast<uint16_t*>(begin) + column;
}

// All 8 columns are columns of y.
W8A8_KERNEL_CODE void StoreWholeHalves(const WgmmaOutputs& outputs, int32_t row, int32_t column,
                                       const Words& values) {
  if (row < outputs.m) *reinterpret_cast<Words*>(HalvesAt(outputs, row, column)) = values;
}

W8A8_KERNEL_CODE void StoreHalves(const WgmmaOutputs& outputs, int32_t row, int32_t column,
                                  const Words& values) {
  const int32_t inside = Inside(outputs.n, column, 8);
  if (inside == 8) return StoreWholeHalves(outputs, row, column, values);
  if (row >= outputs.m) return;
  uint16_t* to = HalvesAt(outputs, row, column);
  W8A8_UNROLLED for (int i = 0; i < 7; ++i) {
    if (i < inside) to[i] = static_cast<uint16_t>(values.word[i / 2] >> (i % 2 * 16));
  }
}

// 8 codes.
struct alignas(8) CodeWords {
  uint32_t word[2];
};

template <ActivationKind kActivation>
W8A8_KERNEL_CODE CodeWords CodesOf(const Words& values, float inv_scale) {
  CodeWords codes{};
  W8A8_UNROLLED for (int i = 0; i < 8; ++i) {
    const auto y = static_cast<uint16_t>(values.word[i / 2] >> (i % 2 * 16));
    const auto code = static_cast<uint8_t>(ActivatedCode<kActivation>(y, inv_scale));
    codes.word[i / 4] |= static_cast<uint32_t>(code) << (i % 4 * 8);
  }
  return codes;
}

template <ActivationKind kActivation>
W8A8_KERNEL_CODE void StoreCodes(const WgmmaOutputs& outputs, int32_t row, int32_t column,
                                 const Words& values) {
  const CodeWords codes = CodesOf<kActivation>(values, outputs.inv_scale);
  if (row >= outputs.m) return;
  uint8_t* to = static_cast<uint8_t*>(outputs.out) + row * outputs.out_stride + column;
  const int32_t inside = Inside(outputs.n, column, 8);
  if (inside == 8) {
    *reinterpret_cast<CodeWords*>(to) = codes;
    return;
  }
  W8A8_UNROLLED for (int i = 0; i < 7; ++i) {
    if (i < inside) to[i] = static_cast<uint8_t>(codes.word[i / 4] >> (i % 4 * 8));
  }
}

}  // namespace w8a8

#undef W8A8_KERNEL_CODE
#undef W8A8_UNROLLED
