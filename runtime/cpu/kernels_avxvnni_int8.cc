// The INT8 steps and attention with INT8 products for AVX-VNNI. Rows and floats are AVX2's.
#include "runtime/cpu/codes_avxvnni.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/tiles_avx2.h"
#include "runtime/cpu/vector_int8_attention.h"
#include "runtime/cpu/vector_products.h"

namespace w8a8 {

const Int8Kernels kAvxVnniInt8Kernels = VectorProducts<Tiles<ByteCodes>>::Table();
const AttentionKernel kAvxVnniInt8Attention =
    VectorInt8Attention<Tiles<ByteCodes>>::Kernel("INT8, AVX-VNNI");

}  // namespace w8a8
