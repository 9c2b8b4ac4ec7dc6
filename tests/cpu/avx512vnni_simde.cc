#include "tests/cpu/avx512vnni_simde.h"

#include <immintrin.h>

#define avx512 avx512_on_simde
#define kAvx512VnniKernels kAvx512VnniOnSimde
#include "runtime/cpu/kernels_avx512vnni.cc"
