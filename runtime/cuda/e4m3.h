// FP8 of four bits of exponent and three of mantissa (OCP E4M3: bias 7, no infinity, one NaN, 448
// the largest), which only what speed is compared with takes.
#pragma once

#include <cstdint>

#include "quant/numerics.h"

namespace w8a8 {

constexpr float kMostE4m3 = 448.0f;

// To nearest even; beyond the largest the largest; NaN stays NaN.
W8A8_HOST_DEVICE inline uint8_t ToE4m3(float value) {
  const uint32_t bits = FloatBits(value), sign = bits >> 31 << 7, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7f);
  if (Abs(value) >= kMostE4m3) return static_cast<uint8_t>(sign | 0x7e);
  constexpr float kLeastNormal = 0x1p-6f;
  if (Abs(value) < kLeastNormal) {  // multiples of 2^-9; eight of them are the least normal
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(RoundToEven(Abs(value) * 0x1p9f)));
  }
  constexpr uint32_t kDropped = 20;  // of binary32's 23 bits of mantissa
  const uint32_t odd = magnitude >> kDropped & 1;
  const uint32_t rounded = (magnitude + (1u << (kDropped - 1)) - 1 + odd) >> kDropped;
  return static_cast<uint8_t>(sign | (rounded - ((127 - 7) << 3)));
}

}  // namespace w8a8
