#include "runtime/cpu/caches.h"

#include <unistd.h>

namespace w8a8 {
namespace {

Caches FindCaches() {
  constexpr int64_t kLeastFirst = 16 << 10, kLeastSecond = 128 << 10;  // below: not believed
  Caches caches = {.first = 32 << 10, .second = 512 << 10};
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
  const int64_t first = ::sysconf(_SC_LEVEL1_DCACHE_SIZE);
  const int64_t second = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (first >= kLeastFirst) caches.first = first;
  if (second >= kLeastSecond) caches.second = second;
#endif
  return caches;
}

}  // namespace

const Caches& CachesOfCore() {
  static const Caches caches = FindCaches();
  return caches;
}

}  // namespace w8a8
