// The element-wise steps with AVX2, FMA and F16C: eight elements at a time, tails through a buffer.
#include "runtime/cpu/vector_rows.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {

const RowKernels kAvx2RowKernels = VectorRows<Avx2>::kTable;

}  // namespace w8a8
