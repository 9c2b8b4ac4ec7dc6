// The element-wise steps with AVX-512: sixteen elements at a time, tails by masks.
#include "runtime/cpu/vector_rows.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {

const RowKernels kAvx512RowKernels = VectorRows<Avx512>::kTable;

}  // namespace w8a8
