// Stands in for the compiler's <immintrin.h> when the sources of the vector sets are built for a
// test on any machine: SIMDe's portable versions, and in plain loops the few that SIMDe 0.7.4
// lacks. Only the intrinsics that the sources use.
#pragma once
#pragma GCC system_header  // vector types as template arguments draw warnings

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <cstdint>
#include <cstring>

#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "tests/cpu/simde/tile_model.h"

#ifndef _MM_FROUND_TO_NEAREST_INT
#define _MM_FROUND_TO_NEAREST_INT 0
#endif
#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC 8
#endif

using __mmask16 = simde__mmask16;

namespace w8a8::simde {

// Lanes of a vector as an array, and back.
template <class Lane, class Vector>
struct Lanes {
  static constexpr int kCount = static_cast<int>(sizeof(Vector) / sizeof(Lane));
  Lane lane[kCount] = {};

  Lanes() = default;
  explicit Lanes(Vector v) { std::memcpy(lane, &v, sizeof v); }
  Vector vector() const {
    Vector v;
    std::memcpy(&v, lane, sizeof v);
    return v;
  }
};

template <class Lane, class Vector>
Vector LoadMasked(simde__mmask16 mask, const void* from) {
  Lanes<Lane, Vector> v;
  for (int i = 0; i < v.kCount; ++i) {
    if (mask >> i & 1) std::memcpy(&v.lane[i], static_cast<const Lane*>(from) + i, sizeof(Lane));
  }
  return v.vector();
}

template <class Lane, class Vector>
void StoreMasked(void* to, simde__mmask16 mask, Vector vector) {
  const Lanes<Lane, Vector> v(vector);
  for (int i = 0; i < v.kCount; ++i) {
    if (mask >> i & 1) std::memcpy(static_cast<Lane*>(to) + i, &v.lane[i], sizeof(Lane));
  }
}

// Conversion of every lane by the compiler's own rules (truncating for integers).
template <class To, class ToVector, class From, class FromVector>
ToVector ConvertLanes(FromVector vector) {
  const Lanes<From, FromVector> from(vector);
  Lanes<To, ToVector> to;
  for (int i = 0; i < from.kCount; ++i) to.lane[i] = static_cast<To>(from.lane[i]);
  return to.vector();
}

template <class Vector>
Vector FmaOfLanes(Vector a, Vector b, Vector c) {
  const Lanes<float, Vector> x(a), y(b), z(c);
  Lanes<float, Vector> to;
  for (int i = 0; i < to.kCount; ++i) to.lane[i] = __builtin_fmaf(x.lane[i], y.lane[i], z.lane[i]);
  return to.vector();
}

}  // namespace w8a8::simde

inline simde__m256i _mm256_maskz_loadu_epi16(simde__mmask16 mask, const void* from) {
  return w8a8::simde::LoadMasked<int16_t, simde__m256i>(mask, from);
}
inline simde__m512 _mm512_maskz_loadu_ps(simde__mmask16 mask, const void* from) {
  return w8a8::simde::LoadMasked<float, simde__m512>(mask, from);
}
inline void _mm256_mask_storeu_epi16(void* to, simde__mmask16 mask, simde__m256i v) {
  w8a8::simde::StoreMasked<int16_t>(to, mask, v);
}
inline void _mm512_mask_storeu_epi32(void* to, simde__mmask16 mask, simde__m512i v) {
  w8a8::simde::StoreMasked<int32_t>(to, mask, v);
}
inline void _mm512_mask_storeu_ps(void* to, simde__mmask16 mask, simde__m512 v) {
  w8a8::simde::StoreMasked<float>(to, mask, v);
}

inline simde__m128i _mm512_cvtepi32_epi8(simde__m512i v) {
  return w8a8::simde::ConvertLanes<int8_t, simde__m128i, int32_t>(v);
}
inline simde__m256i _mm512_cvtepi32_epi16(simde__m512i v) {
  return w8a8::simde::ConvertLanes<int16_t, simde__m256i, int32_t>(v);
}
inline simde__m512i _mm512_cvtepu16_epi32(simde__m256i v) {
  return w8a8::simde::ConvertLanes<int32_t, simde__m512i, uint16_t>(v);
}
inline simde__m512 _mm512_cvtepi32_ps(simde__m512i v) {
  return w8a8::simde::ConvertLanes<float, simde__m512, int32_t>(v);
}

inline simde__m512i _mm512_maskz_cvtps_epi32(simde__mmask16 mask, simde__m512 v) {
  const w8a8::simde::Lanes<float, simde__m512> from(v);
  w8a8::simde::Lanes<int32_t, simde__m512i> to;
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) to.lane[i] = static_cast<int32_t>(__builtin_nearbyintf(from.lane[i]));
  }
  return to.vector();
}
inline simde__m512d _mm512_cvtps_pd(simde__m256 v) {
  return w8a8::simde::ConvertLanes<double, simde__m512d, float>(v);
}
inline simde__m256 _mm512_extractf32x8_ps(simde__m512 v, int half) {
  simde__m256 part;
  std::memcpy(&part, reinterpret_cast<const char*>(&v) + half * sizeof part, sizeof part);
  return part;
}
inline simde__m512 _mm512_cvtph_ps(simde__m256i halves) {
  const w8a8::simde::Lanes<uint16_t, simde__m256i> from(halves);
  w8a8::simde::Lanes<float, simde__m512> to;
  for (int i = 0; i < 16; ++i) {
    to.lane[i] = simde_float16_to_float32(simde_uint16_as_float16(from.lane[i]));
  }
  return to.vector();
}
inline simde__m256i _mm512_cvtps_ph(simde__m512 v, int /*to nearest*/) {
  const w8a8::simde::Lanes<float, simde__m512> from(v);
  w8a8::simde::Lanes<uint16_t, simde__m256i> to;
  for (int i = 0; i < 16; ++i) {
    to.lane[i] = simde_float16_as_uint16(simde_float16_from_float32(from.lane[i]));
  }
  return to.vector();
}

inline simde__m512i _mm512_srai_epi32(simde__m512i v, unsigned count) {
  w8a8::simde::Lanes<int32_t, simde__m512i> lanes(v);
  for (int32_t& lane : lanes.lane) lane >>= count;
  return lanes.vector();
}

// Of AVX-VNNI: four products of an unsigned and a signed byte each, modulo 2^32.
inline simde__m256i _mm256_dpbusd_avx_epi32(simde__m256i sum, simde__m256i a, simde__m256i b) {
  const w8a8::simde::Lanes<uint8_t, simde__m256i> x(a);
  const w8a8::simde::Lanes<int8_t, simde__m256i> y(b);
  w8a8::simde::Lanes<uint32_t, simde__m256i> to(sum);
  for (int i = 0; i < x.kCount; ++i) {
    to.lane[i / 4] += static_cast<uint32_t>(int32_t{x.lane[i]} * int32_t{y.lane[i]});
  }
  return to.vector();
}

// BF16, whose instructions take subnormal operands as 0 and make none. The first argument becomes
// the high half.
inline simde__m512bh _mm512_cvtne2ps_pbh(simde__m512 high, simde__m512 low) {
  w8a8::simde::Lanes<uint16_t, simde__m512bh> to;
  for (int i = 0; i < to.kCount; ++i) {
    const w8a8::simde::Lanes<float, simde__m512> from(i < 16 ? low : high);
    to.lane[i] = w8a8::simde::TileModel::ToBf16(from.lane[i % 16]);
  }
  return to.vector();
}
// Two products a lane, the odd ones first: binary32 FMAs on the sum. (SIMDe's keeps subnormals.)
#undef _mm512_dpbf16_ps
inline simde__m512 _mm512_dpbf16_ps(simde__m512 sum, simde__m512bh a, simde__m512bh b) {
  using w8a8::simde::TileModel;
  const w8a8::simde::Lanes<uint16_t, simde__m512bh> x(a), y(b);
  w8a8::simde::Lanes<float, simde__m512> to(sum);
  for (int i = 0; i < to.kCount; ++i) {
    for (const int k : {2 * i + 1, 2 * i}) {
      to.lane[i] = TileModel::Flushed(
          __builtin_fmaf(TileModel::OfBf16(x.lane[k]), TileModel::OfBf16(y.lane[k]), to.lane[i]));
    }
  }
  return to.vector();
}

// SIMDe's fmadd rounds twice.
#undef _mm256_fmadd_ps
inline simde__m256 _mm256_fmadd_ps(simde__m256 a, simde__m256 b, simde__m256 c) {
  return w8a8::simde::FmaOfLanes(a, b, c);
}
#undef _mm512_fmadd_ps
inline simde__m512 _mm512_fmadd_ps(simde__m512 a, simde__m512 b, simde__m512 c) {
  return w8a8::simde::FmaOfLanes(a, b, c);
}

inline int32_t _mm512_reduce_add_epi32(simde__m512i v) {
  const w8a8::simde::Lanes<int32_t, simde__m512i> lanes(v);
  int32_t sum = 0;
  for (const int32_t lane : lanes.lane) sum += lane;
  return sum;
}
inline float _mm512_reduce_max_ps(simde__m512 v) {
  const w8a8::simde::Lanes<float, simde__m512> lanes(v);
  float largest = lanes.lane[0];
  for (const float lane : lanes.lane) largest = lane > largest ? lane : largest;
  return largest;
}

// Each 128-bit lane permuted alike; 128-bit lanes permuted.
inline simde__m512 _mm512_permute_ps(simde__m512 v, int control) {
  const w8a8::simde::Lanes<float, simde__m512> from(v);
  w8a8::simde::Lanes<float, simde__m512> to;
  for (int i = 0; i < 16; ++i) to.lane[i] = from.lane[i / 4 * 4 + (control >> (i % 4 * 2) & 3)];
  return to.vector();
}
inline simde__m512 _mm512_shuffle_f32x4(simde__m512 a, simde__m512 b, int control) {
  const w8a8::simde::Lanes<float, simde__m512> low(a), high(b);
  w8a8::simde::Lanes<float, simde__m512> to;
  for (int i = 0; i < 16; ++i) {
    const int from = (control >> (i / 4 * 2) & 3) * 4 + i % 4;
    to.lane[i] = i < 8 ? low.lane[from] : high.lane[from];
  }
  return to.vector();
}

// What is above the next integer below; by no other control.
inline simde__m512 _mm512_reduce_ps(simde__m512 v, int /*down*/) {
  w8a8::simde::Lanes<float, simde__m512> lanes(v);
  for (float& lane : lanes.lane) lane -= __builtin_floorf(lane);
  return lanes.vector();
}
inline float _mm512_reduce_add_ps(simde__m512 v) {
  w8a8::simde::Lanes<float, simde__m512> lanes(v);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes.lane[i] += lanes.lane[i + half];
  }
  return lanes.lane[0];
}
