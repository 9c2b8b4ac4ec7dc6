#include "runtime/base/error.h"

#include <cstdio>
#include <cstdlib>

#include "runtime/base/temporary_paths.h"

namespace w8a8 {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "internal error: %s:%d: %s does not hold. This is a bug in w8a8-calib.\n",
               file, line, condition);
  RemoveTemporaryFiles();
  std::abort();
}

}  // namespace w8a8
