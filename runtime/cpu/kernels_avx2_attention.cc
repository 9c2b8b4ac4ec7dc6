// Attention with INT8 products for AVX2: queries and weights of keys are int16.
#include "runtime/cpu/codes_avx2.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/tiles_avx2.h"
#include "runtime/cpu/vector_int8_attention.h"

namespace w8a8 {

const AttentionKernel kAvx2Int8Attention =
    VectorInt8Attention<Tiles<WordCodes>>::Kernel("INT8, AVX2");

}  // namespace w8a8
