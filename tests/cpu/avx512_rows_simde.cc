// The other half of tests/cpu/avx512vnni_simde.cc.
#include <immintrin.h>

#define avx512 avx512_on_simde
#include "runtime/cpu/kernels_avx512_rows.cc"
