// linear --in F --out F --precision P: one linear layer on given tensors.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// Reads `x` F16 [M, K]; `weight` F32, F16 or BF16 [N, K], or I8 with `weight_scale` F32 [N] or
// [N, 1]; optional `bias` F32, F16 or BF16 [N]; ignores other tensors. Writes `codes` I8 [M, K],
// `input_scale` F32 [M] or [1], `code_sum` I32 [M], `weight_codes` I8 [N, K], `weight_scale` F32
// [N], `acc` I32 [M, N], `y` F16 [M, N] and `counts` U64 [3] (NaN, Inf, saturated), without
// metadata, so that two kernel sets that agree give equal files. fp16 writes `y` only; fake has no
// `acc`. Throws UsageError for flags that contradict each other, Error naming the tensor for the
// rest.
int RunLinear(const Options& options);

}  // namespace w8a8
