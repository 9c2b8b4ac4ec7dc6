// The data caches of a core, for those who cut work for them.
#pragma once

#include <cstdint>

namespace w8a8 {

struct Caches {
  int64_t first, second;  // bytes
};

// As the operating system knows them; where it does not, 32 KiB and 512 KiB. Results in which the
// order of sums matters must not depend on them.
const Caches& CachesOfCore();

}  // namespace w8a8
