// merge A.h5 B.h5 … --out C.h5: the statistics that one run over all the images gives.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunMerge(const Options& options);

}  // namespace w8a8
