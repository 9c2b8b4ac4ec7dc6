// How a run uses the machine, and what it shows meanwhile.
#pragma once

#include <cstdint>

#include "eval/job/progress.h"

namespace w8a8 {

// No result depends on any of it but the seed.
struct RunSettings {
  int threads = 1;
  int64_t batch = 1;                          // images a worker runs at once
  uint64_t memory_bytes = uint64_t{2} << 30;  // of the residual streams of all arms
  uint64_t seed = 0;                          // of samples and bootstraps
  ProgressLines progress = ProgressLines::kShown;
};

}  // namespace w8a8
