// Norms, activation functions, the residual step and conversions with AVX-512. Same operations in
// the same order as the scalar set, sixteen elements at a time.
#include <immintrin.h>

#include <cstdint>

#include "quant/function_fits.h"
#include "runtime/cpu/kernels_avx512.h"

namespace w8a8::avx512 {
namespace {

constexpr int kSums = 256;  // element k goes to partial sum k mod 256

// The first `count` of 16 lanes; none for count <= 0.
inline __mmask16 Lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

inline __m512 Load(const Half* from, __mmask16 lanes) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, from));
}
inline __m512 Load(const float* from, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, from);
}

inline void Store(Half* to, __mmask16 lanes, __m512 values) {
  _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
}
inline void Store(float* to, __mmask16 lanes, __m512 values) {
  _mm512_mask_storeu_ps(to, lanes, values);
}

// A NaN in `value` passes through, because max and min return their second operand then.
inline __m512 Clamp(__m512 value, float low, float high) {
  return _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), value));
}

// ---- norms ----

// Within each group of eight: s[0] += s[4], then s[2], then s[1], in all lanes at once.
inline __m512 SumOfEight(__m512 s) {
  s = _mm512_add_ps(s, _mm512_shuffle_f32x4(s, s, 0xb1));
  s = _mm512_add_ps(s, _mm512_permute_ps(s, 0x4e));
  return _mm512_add_ps(s, _mm512_permute_ps(s, 0xb1));
}

// The fixed tree over the 256 partial sums; overwrites them.
float CombineSums(float* sums) {
  for (int i = 0; i < kSums; i += 16) {
    _mm512_store_ps(sums + i, SumOfEight(_mm512_load_ps(sums + i)));
  }
  for (int h = 128; h >= 16; h /= 2) {
    for (int i = 0; i < h; i += 16) {
      _mm512_store_ps(sums + i,
                      _mm512_add_ps(_mm512_load_ps(sums + i), _mm512_load_ps(sums + i + h)));
    }
  }
  return sums[0] + sums[8];
}

inline void ClearSums(float* sums) {
  for (int i = 0; i < kSums; i += 16) _mm512_store_ps(sums + i, _mm512_setzero_ps());
}

template <class T>
float RowMean(const T* x, int64_t cols) {
  alignas(64) float sums[kSums];
  ClearSums(sums);
  for (int64_t c = 0; c < cols; c += 16) {  // lanes past the row add +0 to a sum that is not -0
    float* sum = sums + c % kSums;
    _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), Load(x + c, Lanes(cols - c))));
  }
  return CombineSums(sums) / static_cast<float>(cols);
}

// sum((x - mean)^2) / cols; RMSNorm passes mean 0.
template <class T>
float RowVariance(const T* x, int64_t cols, float mean) {
  alignas(64) float sums[kSums];
  ClearSums(sums);
  for (int64_t c = 0; c < cols; c += 16) {
    const __mmask16 lanes = Lanes(cols - c);
    float* sum = sums + c % kSums;
    const __m512 d = _mm512_maskz_sub_ps(lanes, Load(x + c, lanes), _mm512_set1_ps(mean));
    _mm512_store_ps(sum, _mm512_fmadd_ps(d, d, _mm512_load_ps(sum)));
  }
  return CombineSums(sums) / static_cast<float>(cols);
}

float InverseDeviation(float variance, float eps) {
  return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + eps)));
}

// ---- activation functions ----

inline __m512 GeluFromFit(__m512 x, const GeluFit& fit) {
  const __m512 xc = Clamp(x, -fit.limit, fit.limit);
  const __m512 t = _mm512_fmadd_ps(_mm512_mul_ps(xc, xc), _mm512_set1_ps(fit.two_over_limit2),
                                   _mm512_set1_ps(-1.0f));
  __m512 sum = _mm512_set1_ps(fit.p[9]);
  for (int i = 8; i >= 0; --i) sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(fit.p[i]));
  const __m512 phi = Clamp(_mm512_fmadd_ps(xc, sum, _mm512_set1_ps(0.5f)), 0.0f, 1.0f);
  return _mm512_mul_ps(_mm512_max_ps(_mm512_set1_ps(-65504.0f), x), phi);
}

inline __m512 Exp2(__m512 z) {
  constexpr Exp2Fit fit = Exp2OfFraction();
  const __m512 magic = _mm512_set1_ps(0x1.8p23f);
  const __m512 shifted = _mm512_add_ps(z, magic);
  const __m512 f = _mm512_sub_ps(z, _mm512_sub_ps(shifted, magic));
  __m512 sum = _mm512_set1_ps(fit.p[5]);
  for (int i = 4; i >= 0; --i) sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(fit.p[i]));
  const __m512i exponent =
      _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(magic));
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(sum), _mm512_slli_epi32(exponent, 23)));
}

inline __m512 SigmoidGate(__m512 x, float rate) {
  const __m512 z = Clamp(_mm512_mul_ps(x, _mm512_set1_ps(rate)), -kMaxExponent, kMaxExponent);
  const __m512 below = _mm512_add_ps(_mm512_set1_ps(1.0f), Exp2(z));
  const __m512 y = _mm512_div_ps(_mm512_max_ps(_mm512_set1_ps(-65504.0f), x), below);
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

struct GeluErf {
  __m512 operator()(__m512 x) const {
    constexpr GeluFit fit = GeluErfFit();
    return GeluFromFit(x, fit);
  }
};
struct GeluTanh {
  __m512 operator()(__m512 x) const {
    constexpr GeluFit fit = GeluTanhFit();
    return GeluFromFit(x, fit);
  }
};
struct QuickGelu {
  __m512 operator()(__m512 x) const { return SigmoidGate(x, kQuickGeluRate); }
};
struct Silu {
  __m512 operator()(__m512 x) const { return SigmoidGate(x, kSiluRate); }
};

template <class Function>
void ApplyRows(const ActivationRowsArgs& args, const Function& function) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; c += 16) {
      const __mmask16 lanes = Lanes(args.cols - c);
      Store(y + c, lanes, function(Load(x + c, lanes)));
    }
  }
}

// ---- rows ----

template <class T>
void LayerNorm(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    const float mean = RowMean(x, args.cols);
    const __m512 inv_std =
        _mm512_set1_ps(InverseDeviation(RowVariance(x, args.cols, mean), args.eps));
    for (int64_t c = 0; c < args.cols; c += 16) {
      const __mmask16 lanes = Lanes(args.cols - c);
      const __m512 d = _mm512_sub_ps(Load(x + c, lanes), _mm512_set1_ps(mean));
      const __m512 y =
          _mm512_fmadd_ps(_mm512_mul_ps(d, inv_std), _mm512_maskz_loadu_ps(lanes, args.weight + c),
                          _mm512_maskz_loadu_ps(lanes, args.bias + c));
      Store(args.y + r * args.y_stride + c, lanes, y);
    }
  }
}

template <class T>
void RmsNorm(const NormRowsArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* x = args.x + r * args.x_stride;
    const __m512 inv_std =
        _mm512_set1_ps(InverseDeviation(RowVariance(x, args.cols, 0.0f), args.eps));
    for (int64_t c = 0; c < args.cols; c += 16) {
      const __mmask16 lanes = Lanes(args.cols - c);
      const __m512 normalized = _mm512_mul_ps(Load(x + c, lanes), inv_std);
      const __m512 weight = _mm512_maskz_loadu_ps(lanes, args.weight + c);
      Store(args.y + r * args.y_stride + c, lanes, _mm512_mul_ps(normalized, weight));
    }
  }
}

template <class T>
void Add(const AddResidualArgsOf<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    T* stream = args.stream + r * args.stream_stride;
    const Half* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; c += 16) {
      const __mmask16 lanes = Lanes(args.cols - c);
      const __m512 scale = args.layer_scale != nullptr
                               ? _mm512_maskz_loadu_ps(lanes, args.layer_scale + c)
                               : _mm512_set1_ps(1.0f);
      const __m512 sum = _mm512_fmadd_ps(scale, Load(y + c, lanes), Load(stream + c, lanes));
      Store(stream + c, lanes, sum);
    }
  }
}

}  // namespace

void LayerNormRows(const NormRowsArgs& args) { LayerNorm(args); }
void RmsNormRows(const NormRowsArgs& args) { RmsNorm(args); }
void LayerNormFloatRows(const NormFloatRowsArgs& args) { LayerNorm(args); }
void RmsNormFloatRows(const NormFloatRowsArgs& args) { RmsNorm(args); }

void GeluErfRows(const ActivationRowsArgs& args) { ApplyRows(args, GeluErf()); }
void GeluTanhRows(const ActivationRowsArgs& args) { ApplyRows(args, GeluTanh()); }
void QuickGeluRows(const ActivationRowsArgs& args) { ApplyRows(args, QuickGelu()); }
void SiluRows(const ActivationRowsArgs& args) { ApplyRows(args, Silu()); }

void AddResidual(const AddResidualArgs& args) { Add(args); }
void AddFloatResidual(const AddFloatResidualArgs& args) { Add(args); }

void FloatFromHalf(const Half* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = Lanes(count - i);
    _mm512_mask_storeu_ps(to + i, lanes, Load(from + i, lanes));
  }
}

void HalfFromFloat(const float* from, Half* to, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = Lanes(count - i);
    Store(to + i, lanes, _mm512_maskz_loadu_ps(lanes, from + i));
  }
}

}  // namespace w8a8::avx512
