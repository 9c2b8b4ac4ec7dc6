// A counter-based integer hash: the one source of made-up numbers. Equal in C++ and in
// tests/python/counter_hash.py, so that goldens need to hold outputs only.
#pragma once

#include <cstdint>
#include <string_view>

namespace w8a8 {

// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection of 64-bit words.
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// FNV-1a, 64 bits: a tensor's name as a seed.
constexpr uint64_t HashText(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

constexpr uint64_t CounterHash(uint64_t seed, uint64_t counter) {
  return MixBits(MixBits(seed) ^ counter);
}

// A multiple of 2^-23 in [-1, 1), exact in binary32 and in Python.
constexpr float HashUniform(uint64_t seed, uint64_t counter) {
  return static_cast<float>(static_cast<int64_t>(CounterHash(seed, counter) >> 40) - (1 << 23)) *
         0x1p-23f;
}

}  // namespace w8a8
