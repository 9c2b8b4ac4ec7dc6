// The bench command: what this machine's kernels, forwards and stages take.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// 1 where a forward on a device failed or is wrong; what it measured is written and told all the
// same.
int RunBenchmarks(const Options& options);

}  // namespace w8a8
