// Attention one element after the other. Of attention with INT8 products these bits are the
// definition (numerics.md section 2), and what the emulated arm runs; the float ones are bounded.
#pragma once

#include "runtime/cpu/float_kernels.h"

namespace w8a8 {

extern const AttentionKernel kScalarFp32Attention;
extern const AttentionKernel kScalarBf16Attention;
extern const AttentionKernel kScalarInt8Attention;

}  // namespace w8a8
