// Compiled for AVX2 where the compiler can, so that the baseline does not lose by this pass; called
// only where a CPU has it (onednn_baseline.cc).
#include "eval/bench/scale_rows.h"

namespace w8a8 {

void ScaleAndAddBias(float* __restrict y, const float* __restrict bias, int64_t count,
                     float scale) {
  for (int64_t i = 0; i < count; ++i) y[i] = y[i] * scale + bias[i];
}

}  // namespace w8a8
