// Float products and attention with AVX-512: FP32 FMA.
#include <immintrin.h>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/float_set_avx512.h"

namespace w8a8 {
namespace {

constexpr AttentionKernel kFp32 =
    VectorAttention<Set, FloatOperands<Set, false>>::Kernel("FP32 FMA, AVX-512");
constexpr AttentionKernel kBf16 =
    VectorAttention<Set, FloatOperands<Set, true>>::Kernel("BF16 operands, FP32 FMA, AVX-512");

}  // namespace

// Copied by kernel_list.cc before main().
constinit const FloatKernels kAvx512FloatKernels = {
    .half = VectorFloats<Set, Half>::Product("FP32 FMA, AVX-512"),
    .wide = VectorFloats<Set, float>::Product("FP32 FMA, AVX-512"),
    .attention = {&kFp32, &kBf16, &kAvx512VnniInt8Attention},
};

}  // namespace w8a8
