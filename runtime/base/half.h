// FP16 and BF16 storage types and their exact conversions to and from binary32.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace w8a8 {

// IEEE binary16. `bits` is the value's *pattern*; equality of patterns is what tests compare.
struct Half {
  uint16_t bits = 0;
  friend bool operator==(Half, Half) = default;
};

// The upper half of a binary32.
struct BFloat16 {
  uint16_t bits = 0;
  friend bool operator==(BFloat16, BFloat16) = default;
};

constexpr float kMaxHalf = 65504.0f;
// The least magnitude that rounds to infinity.
constexpr float kRoundsToHalfInfinity = 65520.0f;

// Bits of an FP16: without the sign they order like the magnitudes, finite ones below infinity's,
// NaN above.
constexpr uint16_t kHalfSignBit = 0x8000;
constexpr uint16_t kHalfInfinityBits = 0x7c00;
constexpr bool IsNan(Half h) { return (h.bits & 0x7fffu) > kHalfInfinityBits; }
constexpr bool IsFinite(Half h) { return (h.bits & 0x7fffu) < kHalfInfinityBits; }
constexpr bool IsFinite(float value) {
  return (std::bit_cast<uint32_t>(value) & 0x7fffffffu) < 0x7f800000u;
}

constexpr float ToFloat(Half h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & kHalfSignBit) << 16;
  const uint32_t magnitude = h.bits & 0x7fffu;
  if (magnitude >= kHalfInfinityBits) {  // infinity; a NaN keeps its payload and is quieted
    const uint32_t quiet = magnitude > kHalfInfinityBits ? 0x00400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | ((magnitude & 0x3ffu) << 13));
  }
  if (magnitude < 0x0400u) {  // zero and subnormals: magnitude * 2^-24 is exact
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

// Rounds to nearest, ties to even; above 65,519.99 it gives infinity, NaN stays NaN.
constexpr Half ToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const auto pack = [sign](uint32_t m) { return Half{static_cast<uint16_t>(sign | m)}; };
  if (magnitude > 0x7f800000u) return pack(0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return pack(kHalfInfinityBits);  // 65,520 and above
  if (magnitude < 0x38800000u) {                                 // below 2^-14: a multiple of 2^-24
    // Adding 0.5 leaves exactly the bits above 2^-24 in the mantissa, rounded to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return pack(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return pack((magnitude - (112u << 23) + 0xfffu + odd) >> 13);
}

constexpr float ToFloat(BFloat16 b) { return std::bit_cast<float>(uint32_t{b.bits} << 16); }

// Rounds to nearest, ties to even; NaN stays NaN (quieted).
constexpr BFloat16 ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return BFloat16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  }
  return BFloat16{static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// Whole rows, from one instruction set: the same bits as the functions above for every finite value
// and infinity (any NaN may become any NaN).
struct HalfConversions {
  void (*to_float)(const Half* from, float* to, int64_t count);
  void (*to_half)(const float* from, Half* to, int64_t count);
};

// What the two functions below run on from now on; `conversions` is not copied. Before the first
// call they are plain loops. runtime/cpu/kernels.h, which knows the CPU, calls it. Returns what was
// in use.
const HalfConversions* UseHalfConversions(const HalfConversions* conversions);

// `from` and `to` have equal sizes.
void ToFloat(std::span<const Half> from, std::span<float> to);
void ToHalf(std::span<const float> from, std::span<Half> to);

}  // namespace w8a8
