// The pieces of the `scalar` set, and how they are compiled.
#pragma once

#include "runtime/cpu/kernels.h"

#define W8A8_ALWAYS_INLINE inline __attribute__((always_inline))

// Defines `void Name(const Args&)` from `NameBody`, compiled twice from one source: for the
// baseline, where std::fma is a library call of 3 ns, and for AVX2 + FMA, where it is one
// instruction. IEEE arithmetic gives both the same bits.
#if defined(__x86_64__)
#define W8A8_TWO_CLONES(Name, Args)                                                          \
  __attribute__((target("avx2,fma"))) void Name##Fma(const Args& args) { Name##Body(args); } \
  void Name##Baseline(const Args& args) { Name##Body(args); }                                \
  void Name(const Args& args) {                                                              \
    static const bool has_fma =                                                              \
        __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;           \
    has_fma ? Name##Fma(args) : Name##Baseline(args);                                        \
  }
#else
#define W8A8_TWO_CLONES(Name, Args) \
  void Name(const Args& args) { Name##Body(args); }
#endif

namespace w8a8::scalar {

// kernels_scalar_int8.cc
void QuantizeRows(const QuantizeRowsArgs& args);
void UnpackCodes(const UnpackCodesArgs& args);
int64_t PackedBytes(int64_t n, int64_t k);
void PackWeights(const PackWeightsArgs& args);
void GemmS8(const GemmS8Args& args);
constexpr int64_t kCodeBytes = 2;  // int16, so that products need no widening
constexpr int64_t kKMultiple = 32;
constexpr int64_t kNMultiple = 4;

// kernels_scalar_rows.cc
void LayerNormRows(const NormRowsArgs& args);
void RmsNormRows(const NormRowsArgs& args);
void LayerNormFloatRows(const NormFloatRowsArgs& args);
void RmsNormFloatRows(const NormFloatRowsArgs& args);
void AddResidual(const AddResidualArgs& args);
void AddFloatResidual(const AddFloatResidualArgs& args);

// kernels_scalar_activation.cc
void GeluErfRows(const ActivationRowsArgs& args);
void GeluTanhRows(const ActivationRowsArgs& args);
void QuickGeluRows(const ActivationRowsArgs& args);
void SiluRows(const ActivationRowsArgs& args);

// The steps without FMA are those of runtime/base/half.h.
void FloatFromHalf(const Half* from, float* to, int64_t count);
void HalfFromFloat(const float* from, Half* to, int64_t count);

}  // namespace w8a8::scalar
