// The sources of the vector sets once more, unchanged, on SIMDe's portable intrinsics (the include
// path of the library finds tests/cpu/simde/immintrin.h first), so that packing, tails, epilogue
// and rows of a set are tested on every machine.
#pragma once

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/row_kernels.h"

namespace w8a8 {

extern const AttentionKernel kAmxBf16AttentionOnSimde;
extern const AttentionKernel kAmxFp16AttentionOnSimde;
extern const AttentionKernel kAmxSplitAttentionOnSimde;
extern const FloatProduct kAmxBf16ProductOnSimde;
extern const FloatProduct kAmxFp16ProductOnSimde;
extern const Int8Kernels kAmxInt8KernelsOnSimde;  // and on a model of the tile instructions
extern const FloatKernels kAvx2FloatKernelsOnSimde;
extern const AttentionKernel kAvx512Bf16AttentionOnSimde;
extern const FloatKernels kAvx512FloatKernelsOnSimde;
extern const Int8Kernels kAvx2Int8KernelsOnSimde;
extern const RowKernels kAvx2RowKernelsOnSimde;
extern const Int8Kernels kAvxVnniInt8KernelsOnSimde;
extern const AttentionKernel kAvxVnniInt8AttentionOnSimde;
extern const Int8Kernels kAvx512VnniInt8KernelsOnSimde;
extern const RowKernels kAvx512RowKernelsOnSimde;

}  // namespace w8a8
