// The float products of AMX tiles, registers as tiles_amx.h has them. Included by files that are
// compiled for AMX.
#pragma once

#include <immintrin.h>

// tdpfp16ps, which neither g++ 12 nor clang 14 has an intrinsic for. A test's model stands in.
#if !defined(W8A8_TILE_DPFP16PS)
#define W8A8_TILE_DPFP16PS(sums, left, right)                                        \
  asm volatile(".byte 0xc4, 0xe2, 0x03 + (15 - " #right ") * 8, 0x5c, 0xc0 + " #sums \
               " * 8 + " #left ::)
#endif

namespace w8a8 {
namespace {

struct MultiplyHalves {
  static void UpperLeft() { W8A8_TILE_DPFP16PS(0, 4, 6); }
  static void UpperRight() { W8A8_TILE_DPFP16PS(1, 4, 7); }
  static void LowerLeft() { W8A8_TILE_DPFP16PS(2, 5, 6); }
  static void LowerRight() { W8A8_TILE_DPFP16PS(3, 5, 7); }
};

struct MultiplyBf16 {
  static void UpperLeft() { _tile_dpbf16ps(0, 4, 6); }
  static void UpperRight() { _tile_dpbf16ps(1, 4, 7); }
  static void LowerLeft() { _tile_dpbf16ps(2, 5, 6); }
  static void LowerRight() { _tile_dpbf16ps(3, 5, 7); }
};

}  // namespace
}  // namespace w8a8

#undef W8A8_TILE_DPFP16PS
