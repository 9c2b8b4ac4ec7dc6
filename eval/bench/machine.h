// The machine that figures belong to.
#pragma once

#include "eval/bench/bench_report.h"

namespace w8a8 {

MachineFacts ThisMachine();

}  // namespace w8a8
