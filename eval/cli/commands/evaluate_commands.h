// The whole job and the two parts of it that compare arms.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// No command: calibrate, plan, sweep, compare, check, write the report and quantized/.
int RunWholeJob(const Options& options);
// sweep: every clip range and granularity on --images; --stats for per-tensor points.
int RunSweep(const Options& options);
// compare: the arms under one plan on --images.
int RunCompare(const Options& options);

}  // namespace w8a8
