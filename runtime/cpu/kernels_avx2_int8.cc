// The INT8 steps for AVX2.
#include "runtime/cpu/codes_avx2.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/tiles_avx2.h"
#include "runtime/cpu/vector_products.h"

namespace w8a8 {

const Int8Kernels kAvx2Int8Kernels = VectorProducts<Tiles<WordCodes>>::Table();

}  // namespace w8a8
