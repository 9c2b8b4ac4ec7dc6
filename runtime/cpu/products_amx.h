// The float products of AMX tiles, registers as tiles_amx.h has them. Included by files that are
// compiled for AMX.
#pragma once

#include <immintrin.h>

#include <cstdint>

// tdpfp16ps, which neither g++ 12 nor clang 14 has an intrinsic for. A test's model stands in.
#if !defined(W8A8_TILE_DPFP16PS)
#define W8A8_TILE_DPFP16PS(sums, left, right)                                        \
  asm volatile(".byte 0xc4, 0xe2, 0x03 + (15 - " #right ") * 8, 0x5c, 0xc0 + " #sums \
               " * 8 + " #left ::)
#endif

namespace w8a8 {
namespace {

struct MultiplyHalves {
  static constexpr int64_t kParts = 1;
  static void UpperLeft() { W8A8_TILE_DPFP16PS(0, 4, 6); }
  static void UpperRight() { W8A8_TILE_DPFP16PS(1, 4, 7); }
  static void LowerLeft() { W8A8_TILE_DPFP16PS(2, 5, 6); }
  static void LowerRight() { W8A8_TILE_DPFP16PS(3, 5, 7); }
};

struct MultiplyBf16 {
  static constexpr int64_t kParts = 1;
  static void UpperLeft() { _tile_dpbf16ps(0, 4, 6); }
  static void UpperRight() { _tile_dpbf16ps(1, 4, 7); }
  static void LowerLeft() { _tile_dpbf16ps(2, 5, 6); }
  static void LowerRight() { _tile_dpbf16ps(3, 5, 7); }
};

// The BF16 values in the upper halves of the lanes.
inline __m256i UpperHalves(__m512i bits) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

struct MultiplyBf16Parts : MultiplyBf16 {
  static constexpr int64_t kParts = 2;
};

// A finite FP16 value is the sum of two BF16 values of its sign: the first 8 of its 11 bits, and
// the rest. The products of the parts are exact in binary32, and all four of them make the whole
// (three are off by 2.9e-6). Beside an infinity a rest of 0 or of the other sign would make NaN of
// the other operand's products; so where nothing is left, and of an infinity, the rest is the least
// normal value, whose products no sum of FP16 products shows. In the upper halves of the lanes.
struct Bf16Parts {
  __m512i first, rest;

  // Of FP16 values.
  explicit Bf16Parts(__m512 values) {
    const __m512i bits = _mm512_castps_si512(values);
    first = _mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0xffff0000)));
    const __m512 difference = _mm512_sub_ps(values, _mm512_castsi512_ps(first));
    const __mmask16 nothing = _mm512_cmp_ps_mask(difference, _mm512_setzero_ps(), _CMP_EQ_UQ);
    const __mmask16 something = _mm512_cmp_ps_mask(values, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __m512i sign = _mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN));
    const __m512i least =
        _mm512_maskz_or_epi32(something, sign, _mm512_set1_epi32(0x00800000));  // 2^-126
    rest = _mm512_mask_mov_epi32(_mm512_castps_si512(difference), nothing, least);
  }
};

}  // namespace
}  // namespace w8a8

#undef W8A8_TILE_DPFP16PS
