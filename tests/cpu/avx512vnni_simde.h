// The AVX-512 kernel sources once more, unchanged, on SIMDe's portable intrinsics (the include path
// of the target finds tests/cpu/simde/immintrin.h first), so that packing, tails, epilogue and
// norms of the set are tested on every machine.
#pragma once

#include "runtime/cpu/kernels.h"

namespace w8a8 {

// Its unusable_reason is the real set's; everything else runs anywhere.
extern const Kernels kAvx512VnniOnSimde;

}  // namespace w8a8
