// 128-bit fixed point: sums of FP16 values that are exact in any order.
#pragma once

#include <cstdint>

namespace w8a8 {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

constexpr int kSumFractionBits = 24;           // every FP16 value is a multiple of 2^-24
constexpr int kSumOfSquaresFractionBits = 48;  // and its square of 2^-48

// value * 2^fraction_bits for a value that is a multiple of 2^-fraction_bits and below 2^78.
Int128 ToFixedPoint(double value, int fraction_bits);

constexpr uint64_t HighWord(Int128 value) {
  return static_cast<uint64_t>(static_cast<UInt128>(value) >> 64);
}
constexpr uint64_t LowWord(Int128 value) { return static_cast<uint64_t>(value); }
constexpr Int128 FromWords(uint64_t high, uint64_t low) {
  return static_cast<Int128>(UInt128{high} << 64 | low);
}

}  // namespace w8a8
