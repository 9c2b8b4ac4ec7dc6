#include "runtime/cpu/softmax.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace w8a8 {
namespace {

// Half of the sixteen lanes; the compiler maps it to whatever registers the target has.
constexpr int64_t kWidth = kSoftmaxLanes / 2;
using Floats [[gnu::vector_size(kWidth * sizeof(float))]] = float;
using Ints [[gnu::vector_size(kWidth * sizeof(float))]] = int32_t;

// x = exp(x). exp(x) = 2^n * exp(r) with n = rint(x / ln 2), |r| <= ln 2 / 2. The upper part of
// ln 2 has 10 bits, so that n * upper is exact. exp(r) is its Taylor polynomial of degree 6, whose
// truncation is at most 2^-23 relative.
[[gnu::always_inline]] inline void Exp(Floats& x) {
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const Ints underflow = x < -87.0f;
  const Floats clamped = underflow ? Floats{} - 87.0f : x;
  const Floats shifted = clamped * 0x1.715476p0f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (clamped - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f;
  Floats p = r * (1.0f / 720) + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Ints exponent = __builtin_bit_cast(Ints, shifted) + 127;
  const Ints power = exponent << 23;
  x = underflow ? Floats{} : p * __builtin_bit_cast(Floats, power);
}

[[gnu::always_inline]] inline void Load(Floats& x, const float* from) {
  std::memcpy(&x, from, sizeof(x));
}
[[gnu::always_inline]] inline void Store(float* to, const Floats& x) {
  std::memcpy(to, &x, sizeof(x));
}

template <class Combine>
[[gnu::always_inline]] inline float Fold(const Floats& low, const Floats& high, Combine combine) {
  float lanes[kSoftmaxLanes];
  Store(lanes, low);
  Store(lanes + kWidth, high);
  for (int64_t half = kWidth; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) lanes[l] = combine(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

// A NaN may be passed over here; it survives in its own exponential.
[[gnu::always_inline]] inline float Maximum(const float* scores, int64_t count) {
  Floats low = Floats{} + scores[0];
  Floats high = low;
  for (int64_t j = 0; j < count; j += kSoftmaxLanes) {
    Floats x;
    Load(x, scores + j);
    low = x > low ? x : low;
    Load(x, scores + j + kWidth);
    high = x > high ? x : high;
  }
  return Fold(low, high, [](float a, float b) { return b > a ? b : a; });
}

[[gnu::always_inline]] inline float Numerators(float* scores, int64_t count, float scale) {
  const int64_t padded = PaddedToSoftmaxLanes(count);
  std::fill(scores + count, scores + padded, -std::numeric_limits<float>::infinity());
  const float maximum = Maximum(scores, padded);
  Floats low_sum = {};
  Floats high_sum = {};
  for (int64_t j = 0; j < padded; j += kSoftmaxLanes) {
    Floats low, high;
    Load(low, scores + j);
    Load(high, scores + j + kWidth);
    low = (low - maximum) * scale;
    high = (high - maximum) * scale;
    Exp(low);
    Exp(high);
    Store(scores + j, low);
    Store(scores + j + kWidth, high);
    low_sum += low;
    high_sum += high;
  }
  return Fold(low_sum, high_sum, [](float a, float b) { return a + b; });
}

float NumeratorsPortable(float* scores, int64_t count, float scale) {
  return Numerators(scores, count, scale);
}

#if defined(__x86_64__)
// The same operations in wider registers; nothing is contracted, so the bits are the same.
[[gnu::target("avx2")]] float NumeratorsAvx2(float* scores, int64_t count, float scale) {
  return Numerators(scores, count, scale);
}

auto ChooseNumerators() {
  return __builtin_cpu_supports("avx2") ? NumeratorsAvx2 : NumeratorsPortable;
}
#else
auto ChooseNumerators() { return NumeratorsPortable; }
#endif

}  // namespace

float ExpNonPositive(float x) {
  Floats lanes = Floats{} + x;
  Exp(lanes);
  return lanes[0];
}

float SoftmaxNumerators(float* scores, int64_t count, float scale) {
  static const auto numerators = ChooseNumerators();
  return numerators(scores, count, scale);
}

}  // namespace w8a8
