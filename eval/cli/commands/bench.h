// The bench command: what this machine's kernels, forwards and stages take.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunBenchmarks(const Options& options);

}  // namespace w8a8
