// The element-wise steps with AVX-512: sixteen elements at a time, tails by masks.
#include "runtime/cpu/vector_rows.h"

namespace w8a8 {
namespace {

struct Avx512 {
  using Floats = __m512;
  using Ints [[gnu::vector_size(64)]] = int32_t;
  using Lanes = __mmask16;
  static constexpr int64_t kLanes = 16;

  static Lanes FirstLanes(int64_t count) {
    return static_cast<Lanes>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
  }

  static Floats Load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats Load(const float* from, Lanes lanes) { return _mm512_maskz_loadu_ps(lanes, from); }
  static Floats Load(const Half* from, Lanes lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, from));
  }
  static void Store(float* to, Floats values) { _mm512_storeu_ps(to, values); }
  static void Store(float* to, Lanes lanes, Floats values) {
    _mm512_mask_storeu_ps(to, lanes, values);
  }
  static void Store(Half* to, Lanes lanes, Floats values) {
    _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }

  static Floats Splat(float value) { return _mm512_set1_ps(value); }
  static Floats Keep(Lanes lanes, Floats values) { return _mm512_maskz_mov_ps(lanes, values); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }

  // Within each group of eight: s[0] += s[4], then s[2], then s[1], in all lanes at once.
  static Floats SumOfEight(Floats s) {
    s = s + _mm512_shuffle_f32x4(s, s, 0xb1);
    s = s + _mm512_permute_ps(s, 0x4e);
    return s + _mm512_permute_ps(s, 0xb1);
  }
};

}  // namespace

const RowKernels kAvx512RowKernels = VectorRows<Avx512>::kTable;

}  // namespace w8a8
