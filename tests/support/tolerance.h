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
// The same for two errors, where somebody else made the naive version: torch in FP16, a simulation
// in numpy.
std::string TwiceNaive(double naive_error, double error);
constexpr double kTwiceNaive = 2;  // of the naive version's error: what the level allows

// Midpoint: codes equal, or one apart where the real value (code units) lies within two binary32
// units of the largest code (127 * 2^-22) of a rounding midpoint.
std::string Midpoint(std::span<const double> real_codes, std::span<const int8_t> expected,
                     std::span<const int8_t> actual);

// HalfUlp: one unit in the last place of FP16 at `exact`, but at least 2^-15: a function of an FP16
// value, rounded to FP16, is the nearest code or its neighbour.
double HalfUlp(double exact);

// For figures in binary64 rather than tensors:
// RoundingBound: what so many binary64 operations on values up to `magnitude` add up to, to first
// order.
double RoundingBound(double operations, double magnitude);
// PrintedBound: half a unit of the last decimal of a published figure.
double PrintedBound(int decimals);
// MeanBound: five standard deviations of the mean of so many independent draws; missed by chance in
// 6 of 10,000,000 runs (and never by a counter hash, which draws alike in each).
double MeanBound(double deviation, double draws);

double RelativeL2(std::span<const double> expected, std::span<const float> actual);

}  // namespace w8a8::test
