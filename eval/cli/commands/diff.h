// diff A B: what differs between two artifacts. Exit 0 equal, 3 different.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunDiff(const Options& options);

}  // namespace w8a8
