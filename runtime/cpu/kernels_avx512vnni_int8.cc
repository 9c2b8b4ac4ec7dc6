// The INT8 steps for AVX-512-VNNI.
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/products_avx512vnni.h"

namespace w8a8 {

const Int8Kernels kAvx512VnniInt8Kernels = SetProducts::Table();

}  // namespace w8a8
