// What cuda_bench multiplies: the layers of three towers and bell-shaped random data.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/half.h"

namespace w8a8::bench {

constexpr int64_t kBatchRows = 32 * 729;

struct Draw {
  int32_t code;    // standard deviation 30
  float fraction;  // [-0.5, 0.5)
};

inline std::vector<Draw> Draws(int64_t count) {
  std::mt19937 random(1);
  std::vector<Draw> draws(static_cast<size_t>(count));
  for (Draw& draw : draws) {
    int32_t sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<int32_t>(random() >> 8 & 0xff) - 127;
    draw.code = std::clamp(sum * 30 / 256, -127, 127);
    draw.fraction = static_cast<float>(random() >> 8) / (1 << 24) - 0.5f;
  }
  return draws;
}

// `count` values made from bell-shaped codes and fractions, copied from random places of a pool:
// 300 million draws of one matrix would take seconds.
template <class T, class Make>
std::vector<T> BellShaped(int64_t count, uint32_t seed, Make make) {
  constexpr int64_t kPool = 1 << 20;
  static const std::vector<Draw> draws = Draws(kPool);
  std::mt19937 random(seed);
  std::vector<T> pool;
  pool.reserve(draws.size());
  for (const Draw& draw : draws) pool.push_back(make(draw.code, draw.fraction));
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t at = 0; at < count;) {
    const auto from = static_cast<int64_t>(random() % (kPool - 4096));
    const int64_t length = std::min<int64_t>({count - at, 65536, kPool - from});
    std::copy_n(pool.begin() + from, length, values.begin() + at);
    at += length;
  }
  return values;
}

inline int8_t Code(int32_t code, float) { return static_cast<int8_t>(code); }
// All bits of the mantissa in use, as a tensor core's power wants.
inline Half Plain(int32_t code, float fraction) {
  return ToHalf((static_cast<float>(code) + fraction) / 32);
}
// Small integers: every order of adding their products gives the same binary32 sum.
inline Half Exact(int32_t code, float) { return ToHalf(static_cast<float>(code / 8)); }
inline int8_t ExactCode(int32_t code, float) { return static_cast<int8_t>(code / 8); }
inline int Sign(int32_t code) { return code > 20 ? 1 : code < -20 ? -1 : 0; }
inline Half SignHalf(int32_t code, float) { return ToHalf(static_cast<float>(Sign(code))); }
inline int8_t SignCode(int32_t code, float) { return static_cast<int8_t>(Sign(code)); }
constexpr uint8_t kE4m3One = 0x38;
inline uint8_t SignE4m3(int32_t code, float) {
  return Sign(code) == 0 ? uint8_t{0}
                         : static_cast<uint8_t>(kE4m3One | (Sign(code) < 0 ? 0x80 : 0));
}
// code / 32, its leading four bits kept.
inline uint8_t PlainE4m3(int32_t code, float) {
  if (code == 0) return 0;
  int exponent = 0;
  const float part = std::frexp(static_cast<float>(std::abs(code)) / 32, &exponent);  // [0.5, 1)
  const int mantissa = static_cast<int>(part * 16) - 8, biased = exponent - 1 + 7;
  return static_cast<uint8_t>((code < 0 ? 0x80 : 0) | biased << 3 | mantissa);
}

struct Shape {
  std::string name;
  int64_t m, n, k;
  double Operations() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

inline std::vector<Shape> Shapes() {
  struct Tower {
    const char* name;
    int64_t width, hidden, tokens;
  };
  const Tower towers[] = {
      {"so400m", 1152, 4304, 729}, {"iv300m", 1024, 4096, 1025}, {"6b", 3200, 12800, 1025}};
  std::vector<Shape> shapes;
  // What is judged comes before single images.
  for (const bool batch : {true, false}) {
    for (const Tower& t : towers) {
      const int64_t m = batch ? kBatchRows : t.tokens;
      const std::string rows = fmt::format("{} M={} ", t.name, m);
      shapes.push_back({rows + "qkv", m, 3 * t.width, t.width});
      shapes.push_back({rows + "proj", m, t.width, t.width});
      shapes.push_back({rows + "fc1", m, t.hidden, t.width});
      shapes.push_back({rows + "fc2", m, t.width, t.hidden});
    }
  }
  return shapes;
}

}  // namespace w8a8::bench
