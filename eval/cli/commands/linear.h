// linear --in F --out F --precision P: one linear layer on given tensors, by any scheme of
// numerics.md; for tests, for porting a kernel, for an argument with a colleague.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// What it reads: ReadLinearInput (linear_input.h); what it writes: WriteLinearOutput
// (linear_output.h). The layer runs by the lowering and the steps of a whole encoder. fp16 writes
// `y` only; fake and weight-only have no `acc`, and weight-only none of the input's codes, scales
// and counts; a side that vllm-static leaves alone (a scale of 0) has no codes and scales either.
// `transformed` is what smoothing and rotation made of `x`, in binary32, also where weight-only
// then rounds it to FP16. Throws UsageError for flags that contradict each other or the file, Error
// naming the tensor for the rest.
int RunLinear(const Options& options);

}  // namespace w8a8
