// Rows of one head asked for ahead. Included by files that are compiled for one instruction set.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// Rows of a head are pages apart, and no prefetcher of the CPU follows them over pages: 2 to 3 % of
// FP32 attention, 10 % of INT8's.
constexpr int64_t kRowsAhead = 8;

// Inlined, because g++ drops calls of a function that does nothing else.
[[gnu::always_inline]] inline void FetchRow(const Half* x, int64_t count) {
  const char* bytes = reinterpret_cast<const char*>(x);
  for (int64_t at = 0; at < 2 * count; at += 64) __builtin_prefetch(bytes + at);
  __builtin_prefetch(bytes + 2 * count - 1);
}

}  // namespace
}  // namespace w8a8
