#include "runtime/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstddef>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

#if defined(__x86_64__)
bool HasF16c() {
  static const bool has = __builtin_cpu_supports("f16c") != 0;
  return has;
}

__attribute__((target("avx,f16c"))) size_t ToFloatF16c(const Half* from, float* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(halves));
  }
  return i;
}

__attribute__((target("avx,f16c"))) size_t ToHalfF16c(const float* from, Half* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i halves =
        _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
  return i;
}
#else
bool HasF16c() { return false; }
size_t ToFloatF16c(const Half*, float*, size_t) { return 0; }
size_t ToHalfF16c(const float*, Half*, size_t) { return 0; }
#endif

}  // namespace

void ToFloat(std::span<const Half> from, std::span<float> to) {
  W8A8_CHECK(from.size() == to.size());
  size_t i = HasF16c() ? ToFloatF16c(from.data(), to.data(), from.size()) : 0;
  for (; i < from.size(); ++i) to[i] = ToFloat(from[i]);
}

void ToHalf(std::span<const float> from, std::span<Half> to) {
  W8A8_CHECK(from.size() == to.size());
  size_t i = HasF16c() ? ToHalfF16c(from.data(), to.data(), from.size()) : 0;
  for (; i < from.size(); ++i) to[i] = ToHalf(from[i]);
}

}  // namespace w8a8
