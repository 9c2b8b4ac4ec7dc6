// The named levels of agreement. A test says which one it claims; none takes a bare number.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "runtime/base/half.h"

namespace w8a8::test {

// Equal: the same bits, any NaN equal to any NaN. The message names the first and worst element.
// Empty string: equal.
std::string Equal(std::span<const Half> expected, std::span<const Half> actual);
std::string Equal(std::span<const float> expected, std::span<const float> actual);
std::string Equal(std::span<const int8_t> expected, std::span<const int8_t> actual);
std::string Equal(std::span<const int32_t> expected, std::span<const int32_t> actual);

// DotBound: the largest error of a binary32 dot product of k terms bounded by max_a and max_b:
// k * 2^-24 * (k * max_a * max_b), Higham's gamma_k with first-order terms.
double DotBound(int64_t k, double max_a, double max_b);

// TwiceNaive: the error of `actual` against binary64 is at most twice that of `naive`, which was
// computed with the same operand precisions (both as root-mean-square). The message gives the
// ratio.
std::string TwiceNaive(std::span<const double> exact, std::span<const float> naive,
                       std::span<const float> actual);

// Midpoint: codes equal, or one apart where the real value (code units) lies within two binary32
// units of the largest code (127 * 2^-22) of a rounding midpoint.
std::string Midpoint(std::span<const double> real_codes, std::span<const int8_t> expected,
                     std::span<const int8_t> actual);

double RelativeL2(std::span<const double> expected, std::span<const float> actual);

}  // namespace w8a8::test
