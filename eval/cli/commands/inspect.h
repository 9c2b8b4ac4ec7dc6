// inspect PATH: what a checkpoint, a quantized folder, a report, statistics, a plan or another file
// of this tool holds.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunInspect(const Options& options);

}  // namespace w8a8
