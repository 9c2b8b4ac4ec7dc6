// What the operands of attention on AMX tiles are. Included by files that are compiled for AMX. A
// Format has:
//   Op: the product (blocks_amx.h).
//   kRowParts: how many times a query or key has its channels, in parts.
//   StoreQuery(const Half*, head_dim, uint16_t*), StoreKey: those, in whole tiles, in one order.
//   kWeightParts: of a weight and of a value.
//   StoreValues(first, second, to, part_stride): sixteen channels of two keys.
//   StoreWeights(first, second, to, part_stride): of sixteen keys and of sixteen more.
// A unit pairs two values that are sixteen apart: vectors of them then need no permutation.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/products_amx.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

constexpr int64_t kTileUnits = kTileBytes / 4;  // of a row in a tile

// Of lanes whose upper halves are values: units of them.
inline __m512i UnitsOf(__m512i low, __m512i high) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(low, 16), high);
}

template <class Format>
struct WholeValues {
  static constexpr int64_t kRowParts = 1, kWeightParts = 1;

  static void StoreQuery(const Half* x, int64_t head_dim, uint16_t* to) {
    for (int64_t i = 0; i < head_dim; i += kTileValues) {
      _mm512_storeu_si512(
          to + i, Format::Units(Avx512::Load(x + i, Avx512::FirstLanes(head_dim - i)),
                                Avx512::Load(x + i + 16, Avx512::FirstLanes(head_dim - i - 16))));
    }
  }
  static void StoreKey(const Half* x, int64_t head_dim, uint16_t* to) {
    StoreQuery(x, head_dim, to);
  }
  static void StoreValues(__m512 first, __m512 second, uint8_t* to, int64_t /*part_stride*/) {
    _mm512_storeu_si512(to, Format::Units(first, second));
  }
};

struct Fp16 : WholeValues<Fp16> {
  using Op = MultiplyHalves;

  static __m512i Lanes(__m512 values) {
    return _mm512_cvtepu16_epi32(_mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }
  static __m512i Units(__m512 first, __m512 second) {
    return _mm512_or_si512(Lanes(first), _mm512_slli_epi32(Lanes(second), 16));
  }
  static void StoreWeights(__m512 first, __m512 second, uint8_t* to, int64_t /*part_stride*/) {
    _mm512_storeu_si512(to, Units(first, second));
  }
};

struct Bf16 : WholeValues<Bf16> {
  using Op = MultiplyBf16;

  // Ties to even; a NaN, which is a quiet one, as it is.
  static __m512i Rounded(__m512 values) {
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __mmask16 ordered = _mm512_cmp_ps_mask(values, values, _CMP_ORD_Q);
    return _mm512_mask_add_epi32(bits, ordered, bits, up);
  }
  static __m512i Units(__m512 first, __m512 second) {
    return UnitsOf(Rounded(first), Rounded(second));
  }
  // Ties away from 0, where of an exponential one in 2^16 is a tie.
  static void StoreWeights(__m512 first, __m512 second, uint8_t* to, int64_t /*part_stride*/) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    _mm512_storeu_si512(to, UnitsOf(_mm512_add_epi32(_mm512_castps_si512(first), half),
                                    _mm512_add_epi32(_mm512_castps_si512(second), half)));
  }
};

// All four products of the parts of queries and keys, small ones first, as products of rows four
// times as long. Of weights and values the product of the rests, 2^-18 of the whole, is left out:
// outputs are rounded to 2^-12.
struct SplitFp16 {
  using Op = MultiplyBf16;
  static constexpr int64_t kRowParts = 4, kWeightParts = 2;

  static void StoreRow(const Half* x, int64_t head_dim, uint16_t* to, const int64_t* rests,
                       const int64_t* firsts) {
    const int64_t end = DivideUp(4 * head_dim, kTileValues) * kTileValues;
    _mm512_storeu_si512(to + end - kTileValues, _mm512_setzero_si512());
    for (int64_t i = 0; i < head_dim; i += 16) {
      const __mmask16 lanes = Avx512::FirstLanes(head_dim - i);
      const Bf16Parts parts(Avx512::Load(x + i, lanes));
      const __m256i rest = UpperHalves(parts.rest), first = UpperHalves(parts.first);
      for (int64_t at = 0; at < 2; ++at) {
        _mm256_mask_storeu_epi16(to + rests[at] * head_dim + i, lanes, rest);
        _mm256_mask_storeu_epi16(to + firsts[at] * head_dim + i, lanes, first);
      }
    }
  }
  static void StoreQuery(const Half* x, int64_t head_dim, uint16_t* to) {
    static constexpr int64_t kRests[] = {0, 1}, kFirsts[] = {2, 3};
    StoreRow(x, head_dim, to, kRests, kFirsts);
  }
  static void StoreKey(const Half* x, int64_t head_dim, uint16_t* to) {
    static constexpr int64_t kRests[] = {0, 2}, kFirsts[] = {1, 3};
    StoreRow(x, head_dim, to, kRests, kFirsts);
  }
  static void StoreValues(__m512 first, __m512 second, uint8_t* to, int64_t part_stride) {
    const Bf16Parts low(first), high(second);
    _mm512_storeu_si512(to, UnitsOf(low.first, high.first));
    _mm512_storeu_si512(to + part_stride, UnitsOf(low.rest, high.rest));
  }
  // 8 bits and 8 more of the 24 that the exponentials have, 5 more than FP16 keeps. A rest of 0
  // would make NaN of an infinity among the values.
  static void StoreWeights(__m512 first, __m512 second, uint8_t* to, int64_t part_stride) {
    _mm512_storeu_si512(to, UnitsOf(_mm512_castps_si512(first), _mm512_castps_si512(second)));
    _mm512_storeu_si512(to + part_stride, UnitsOf(RestOf(first), RestOf(second)));
  }
  static __m512i RestOf(__m512 weight) {
    const __m512i first = _mm512_and_si512(_mm512_castps_si512(weight),
                                           _mm512_set1_epi32(static_cast<int>(0xffff0000)));
    const __m512 rest = _mm512_sub_ps(weight, _mm512_castsi512_ps(first));
    return _mm512_castps_si512(_mm512_max_ps(rest, _mm512_set1_ps(0x1p-126f)));
  }
};

}  // namespace
}  // namespace w8a8
