// Float products and attention with AVX2: FP32 FMA.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/tiles_floats.h"
#include "runtime/cpu/vector_attention.h"
#include "runtime/cpu/vector_floats.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

// 6 x 16: 12 accumulators, two registers of a panel and a broadcast, 15 of 16.
using Set = FloatSet<Avx2, 6, 48>;

constexpr AttentionKernel kFp32 =
    VectorAttention<Set, FloatOperands<Set, false>>::Kernel("FP32 FMA, AVX2");
constexpr AttentionKernel kBf16 =
    VectorAttention<Set, FloatOperands<Set, true>>::Kernel("BF16 operands, FP32 FMA, AVX2");

}  // namespace

// Copied by kernel_list.cc before main().
constinit const FloatKernels kAvx2FloatKernels = {
    .half = VectorFloats<Set, Half>::Product("FP32 FMA, AVX2"),
    .wide = VectorFloats<Set, float>::Product("FP32 FMA, AVX2"),
    .attention = {&kFp32, &kBf16, &kAvx2Int8Attention},
};

}  // namespace w8a8
