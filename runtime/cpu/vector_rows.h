// The element-wise steps once for every width of vector: the operations of the scalar set in the
// same order, V::kLanes elements at a time. Included by the files of the vector sets, which are
// compiled for their instruction set: it has templates over a V of an unnamed namespace only, so
// that nothing compiled there can replace the portable copy of the whole program.
//
// V names the registers `Floats` (kLanes binary32 values, a multiple of 8 up to 16) and `Ints`
// (int32), the `Lanes` of a load or store (FirstLanes(count): the first `count` of them, none for
// count <= 0; a load gives zeros elsewhere), and the operations below; a NaN in the second operand
// of Max and Min passes through.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "quant/function_fits.h"
#include "runtime/cpu/row_kernels.h"
#include "runtime/cpu/vector_counts.h"

namespace w8a8 {

template <class V>
struct VectorRows {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  static constexpr int64_t kLanes = V::kLanes;
  using Bits [[gnu::vector_size(4 * V::kLanes)]] = uint32_t;  // whose sums and shifts wrap

  static Floats Clamp(Floats value, float low, float high) {
    return V::Min(V::Splat(high), V::Max(V::Splat(low), value));
  }

  // ---- norms ----

  static constexpr int64_t kSums = 256;  // element k goes into partial sum k mod 256
  struct alignas(64) Sums {
    float at[kSums];
  };

  static void Clear(Sums& sums) {
    for (int64_t i = 0; i < kSums; i += kLanes) V::Store(sums.at + i, V::Splat(0.0f));
  }

  // The fixed tree over the partial sums; overwrites them.
  static float Combine(Sums& sums) {
    for (int64_t i = 0; i < kSums; i += kLanes) {
      V::Store(sums.at + i, V::SumOfEight(V::Load(sums.at + i)));
    }
    int64_t h = kSums / 2;
    for (; h >= kLanes; h /= 2) {
      for (int64_t i = 0; i < h; i += kLanes) {
        V::Store(sums.at + i, V::Load(sums.at + i) + V::Load(sums.at + i + h));
      }
    }
    for (; h >= 8; h /= 2) sums.at[0] += sums.at[h];
    return sums.at[0];
  }

  template <class T>
  static float Mean(const T* x, int64_t cols) {
    Sums sums;
    Clear(sums);
    for (int64_t c = 0; c < cols; c += kLanes) {  // lanes past the row add +0 to what is never -0
      float* sum = sums.at + c % kSums;
      V::Store(sum, V::Load(sum) + V::Load(x + c, V::FirstLanes(cols - c)));
    }
    return Combine(sums) / static_cast<float>(cols);
  }

  // sum((x - mean)^2) / cols; RMSNorm passes mean 0.
  template <class T>
  static float Variance(const T* x, int64_t cols, float mean) {
    Sums sums;
    Clear(sums);
    for (int64_t c = 0; c < cols; c += kLanes) {
      const auto lanes = V::FirstLanes(cols - c);
      float* sum = sums.at + c % kSums;
      const Floats d = V::Keep(lanes, V::Load(x + c, lanes) - V::Splat(mean));
      V::Store(sum, V::Fma(d, d, V::Load(sum)));
    }
    return Combine(sums) / static_cast<float>(cols);
  }

  static float InverseDeviation(float variance, float eps) {
    return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + eps)));
  }

  template <class T>
  static void LayerNorm(const NormRowsArgsOf<T>& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      const T* x = args.x + r * args.x_stride;
      const float mean = Mean(x, args.cols);
      const Floats inv_std = V::Splat(InverseDeviation(Variance(x, args.cols, mean), args.eps));
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        const Floats normalized = (V::Load(x + c, lanes) - V::Splat(mean)) * inv_std;
        const Floats y =
            V::Fma(normalized, V::Load(args.weight + c, lanes), V::Load(args.bias + c, lanes));
        V::Store(args.y + r * args.y_stride + c, lanes, y);
      }
    }
  }

  template <class T>
  static void RmsNorm(const NormRowsArgsOf<T>& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      const T* x = args.x + r * args.x_stride;
      const Floats inv_std = V::Splat(InverseDeviation(Variance(x, args.cols, 0.0f), args.eps));
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        const Floats normalized = V::Load(x + c, lanes) * inv_std;
        V::Store(args.y + r * args.y_stride + c, lanes,
                 normalized * V::Load(args.weight + c, lanes));
      }
    }
  }

  // ---- routers ----

  // Products of FP16 values are multiples of 2^-48, so that a sum is never -0 and lanes past the
  // row, which add +0 * +0, change none.
  static void RowProducts(const RowProductsArgs& args) {
    for (int64_t n = 0; n < args.count; ++n) {
      const float* weight = args.weight + n * args.cols;
      Sums sums;
      Clear(sums);
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        float* sum = sums.at + c % kSums;
        V::Store(sum, V::Fma(V::Load(args.x + c, lanes), V::Load(weight + c, lanes), V::Load(sum)));
      }
      args.y[n] = Combine(sums);
    }
  }

  // ---- activation functions and residual ----

  static Floats GeluFromFit(Floats x, const GeluFit& fit) {
    const Floats xc = Clamp(x, -fit.limit, fit.limit);
    const Floats t = V::Fma(xc * xc, V::Splat(fit.two_over_limit2), V::Splat(-1.0f));
    Floats sum = V::Splat(fit.p[9]);
    for (int i = 8; i >= 0; --i) sum = V::Fma(sum, t, V::Splat(fit.p[i]));
    const Floats phi = Clamp(V::Fma(xc, sum, V::Splat(0.5f)), 0.0f, 1.0f);
    return V::Max(V::Splat(-65504.0f), x) * phi;
  }

  static Floats Exp2(Floats z) {
    constexpr Exp2Fit fit = Exp2OfFraction();
    const Floats magic = V::Splat(0x1.8p23f);
    const Floats shifted = z + magic;
    const Floats f = z - (shifted - magic);
    Floats sum = V::Splat(fit.p[5]);
    for (int i = 4; i >= 0; --i) sum = V::Fma(sum, f, V::Splat(fit.p[i]));
    return (Floats)((Bits)sum + (((Bits)shifted - (Bits)magic) << 23));
  }

  static Floats SigmoidGate(Floats x, float rate) {
    const Floats z = Clamp(x * V::Splat(rate), -kMaxExponent, kMaxExponent);
    const Floats y = V::Max(V::Splat(-65504.0f), x) / (V::Splat(1.0f) + Exp2(z));
    return x != x ? x : y;
  }

  static Floats GeluErf(Floats x) {
    constexpr GeluFit fit = GeluErfFit();
    return GeluFromFit(x, fit);
  }
  static Floats GeluTanh(Floats x) {
    constexpr GeluFit fit = GeluTanhFit();
    return GeluFromFit(x, fit);
  }
  static Floats QuickGelu(Floats x) { return SigmoidGate(x, kQuickGeluRate); }
  static Floats Silu(Floats x) { return SigmoidGate(x, kSiluRate); }

  template <Floats (*Function)(Floats)>
  static void Activate(const ActivationRowsArgs& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      const Half* x = args.x + r * args.x_stride;
      Half* y = args.y + r * args.y_stride;
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        V::Store(y + c, lanes, Function(V::Load(x + c, lanes)));
      }
    }
  }

  static void MultiplyRows(const MultiplyRowsArgs& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      Half* x = args.x + r * args.x_stride;
      const Half* by = args.by + r * args.by_stride;
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        V::Store(x + c, lanes, V::Load(x + c, lanes) * V::Load(by + c, lanes));
      }
    }
  }

  template <class T>
  static void AddResidual(const AddResidualArgsOf<T>& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      T* stream = args.stream + r * args.stream_stride;
      const Half* y = args.y + r * args.y_stride;
      for (int64_t c = 0; c < args.cols; c += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - c);
        const Floats scale =
            args.layer_scale != nullptr ? V::Load(args.layer_scale + c, lanes) : V::Splat(1.0f);
        V::Store(stream + c, lanes,
                 V::Fma(scale, V::Load(y + c, lanes), V::Load(stream + c, lanes)));
      }
    }
  }

  // ---- attention ----

  static Floats ExpNonPositive(Floats x) {
    constexpr ExpFit fit = ExpOfNonPositive();
    const Floats magic = V::Splat(0x1.8p23f);
    const Floats shifted = V::Fma(x, V::Splat(fit.inv_ln2), magic);
    const Floats f = V::Fma(x, V::Splat(fit.inv_ln2), magic - shifted);
    Floats sum = V::Splat(fit.p[5]);
    for (int i = 4; i >= 0; --i) sum = V::Fma(sum, f, V::Splat(fit.p[i]));
    return V::KeepFrom(fit.underflow, x, (Floats)((Bits)sum + ((Bits)shifted << 23)));
  }

  // The sixteen partial results of a row, in as many registers as they take.
  static constexpr int64_t kParts = kSoftmaxLanes / kLanes;
  struct Partial {
    Floats part[kParts];

    template <class Combine>
    float Fold(Combine combine) const {
      float lanes[kSoftmaxLanes];
      for (int64_t p = 0; p < kParts; ++p) V::Store(lanes + p * kLanes, part[p]);
      for (int64_t half = kSoftmaxLanes / 2; half > 0; half /= 2) {
        for (int64_t l = 0; l < half; ++l) lanes[l] = combine(lanes[l], lanes[l + half]);
      }
      return lanes[0];
    }
  };

  static float Maximum(const float* scores, int64_t count) {
    Partial largest;
    for (Floats& part : largest.part) part = V::Splat(scores[0]);
    for (int64_t j = 0; j < count; j += kSoftmaxLanes) {
      for (int64_t p = 0; p < kParts; ++p) {
        largest.part[p] = V::Max(V::Load(scores + j + p * kLanes), largest.part[p]);
      }
    }
    return largest.Fold([](float a, float b) { return b > a ? b : a; });
  }

  static void SoftmaxRow(const SoftmaxRowArgs& args) {
    const int64_t padded = PaddedToSoftmaxLanes(args.count);
    for (int64_t j = args.count; j < padded; ++j) args.scores[j] = -__builtin_inff();
    const Floats maximum = V::Splat(Maximum(args.scores, padded));
    const Floats scale = V::Splat(args.scale);
    Partial sums;
    for (Floats& part : sums.part) part = V::Splat(0.0f);
    for (int64_t j = 0; j < padded; j += kSoftmaxLanes) {
      for (int64_t p = 0; p < kParts; ++p) {
        float* scores = args.scores + j + p * kLanes;
        const Floats exponential = ExpNonPositive((V::Load(scores) - maximum) * scale);
        V::Store(scores, exponential);
        sums.part[p] = sums.part[p] + exponential;
      }
    }
    *args.sum = sums.Fold([](float a, float b) { return a + b; });
  }

  // ---- error meters and conversions ----

  // Two loops of three sums each, left to the compiler's vectorizer: with all six (48 lanes) in one
  // the sums live in memory, at 9 ns an element.
  static void AddErrorSums(const ErrorSumsArgs& args) {
    ErrorSums sums = *args.sums;
    for (int64_t k = 0; k < args.count; k += kErrorLanes) {
      for (int64_t lane = 0; lane < kErrorLanes; ++lane) {
        const double expected = args.expected[k + lane], actual = args.actual[k + lane];
        sums.expected_sq[lane] += expected * expected;
        sums.actual_sq[lane] += actual * actual;
        sums.product[lane] += expected * actual;
      }
    }
    for (int64_t k = 0; k < args.count; k += kErrorLanes) {
      for (int64_t lane = 0; lane < kErrorLanes; ++lane) {
        const double error = double{args.actual[k + lane]} - double{args.expected[k + lane]};
        const double magnitude = __builtin_fabs(error);
        sums.error_sq[lane] += error * error;
        sums.error[lane] += error;
        sums.max_abs[lane] = magnitude > sums.max_abs[lane] ? magnitude : sums.max_abs[lane];
      }
    }
    *args.sums = sums;
  }

  static void FloatFromHalf(const Half* from, float* to, int64_t count) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const auto lanes = V::FirstLanes(count - i);
      V::Store(to + i, lanes, V::Load(from + i, lanes));
    }
  }

  static void HalfFromFloat(const float* from, Half* to, int64_t count) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const auto lanes = V::FirstLanes(count - i);
      V::Store(to + i, lanes, V::Load(from + i, lanes));
    }
  }

  static constexpr RowKernels kTable = {
      .layer_norm = LayerNorm<Half>,
      .rms_norm = RmsNorm<Half>,
      .layer_norm_float = LayerNorm<float>,
      .rms_norm_float = RmsNorm<float>,
      .gelu_erf = Activate<GeluErf>,
      .gelu_tanh = Activate<GeluTanh>,
      .quick_gelu = Activate<QuickGelu>,
      .silu = Activate<Silu>,
      .multiply = MultiplyRows,
      .add_residual = AddResidual<Half>,
      .add_float_residual = AddResidual<float>,
      .row_products = RowProducts,
      .softmax_row = SoftmaxRow,
      .add_error_sums = AddErrorSums,
      .count_rows = VectorCounts<V>::CountRows,
      .half = {.to_float = FloatFromHalf, .to_half = HalfFromFloat},
  };
};

}  // namespace w8a8
