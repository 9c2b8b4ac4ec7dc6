#include "tests/support/tolerance.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include <fmt/format.h>

namespace w8a8::test {
namespace {

bool Same(Half a, Half b) { return a == b || (IsNan(a) && IsNan(b)); }
bool Same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}
template <class T>
bool Same(T a, T b) {
  return a == b;
}

double Value(Half h) { return ToFloat(h); }
template <class T>
double Value(T v) {
  return static_cast<double>(v);
}

template <class T>
std::string EqualElements(std::span<const T> expected, std::span<const T> actual) {
  if (expected.size() != actual.size()) {
    return fmt::format("{} elements expected, {} found", expected.size(), actual.size());
  }
  size_t different = 0;
  size_t first = 0;
  size_t worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (Same(expected[i], actual[i])) continue;
    if (different++ == 0) first = worst = i;
    const auto distance = [&](size_t j) { return std::abs(Value(expected[j]) - Value(actual[j])); };
    if (distance(i) > distance(worst)) worst = i;
  }
  if (different == 0) return "";
  return fmt::format("{} of {} differ; first [{}]: expected {}, actual {}; worst [{}]: {}, {}",
                     different, expected.size(), first, Value(expected[first]),
                     Value(actual[first]), worst, Value(expected[worst]), Value(actual[worst]));
}

// Two binary32 units of the largest code, 127: a product of two rounded factors is off by no more.
constexpr double kMidpointWidth = 127 * 0x1p-22;

double RootMeanSquareError(std::span<const double> exact, std::span<const float> values) {
  double sum = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double error = static_cast<double>(values[i]) - exact[i];
    sum += error * error;
  }
  return std::sqrt(sum / static_cast<double>(exact.size()));
}

}  // namespace

std::string Equal(std::span<const Half> expected, std::span<const Half> actual) {
  return EqualElements(expected, actual);
}
std::string Equal(std::span<const float> expected, std::span<const float> actual) {
  return EqualElements(expected, actual);
}
std::string Equal(std::span<const int8_t> expected, std::span<const int8_t> actual) {
  return EqualElements(expected, actual);
}
std::string Equal(std::span<const int32_t> expected, std::span<const int32_t> actual) {
  return EqualElements(expected, actual);
}

double DotBound(int64_t k, double max_a, double max_b) {
  const double terms = static_cast<double>(k);
  return terms * 0x1p-24 * terms * max_a * max_b;
}

std::string TwiceNaive(std::span<const double> exact, std::span<const float> naive,
                       std::span<const float> actual) {
  if (exact.size() != naive.size() || exact.size() != actual.size()) return "sizes differ";
  return TwiceNaive(RootMeanSquareError(exact, naive), RootMeanSquareError(exact, actual));
}

std::string TwiceNaive(double naive_error, double error) {
  const double allowed = kTwiceNaive * naive_error;
  if (error <= allowed) return "";
  return fmt::format("error {:.3e} is {:.2f} of the {:.3e} allowed (twice naive)", error,
                     error / allowed, allowed);
}

std::string Midpoint(std::span<const double> real_codes, std::span<const int8_t> expected,
                     std::span<const int8_t> actual) {
  if (expected.size() != actual.size() || expected.size() != real_codes.size()) {
    return "sizes differ";
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    const int apart = std::abs(int{expected[i]} - int{actual[i]});
    if (apart == 0) continue;
    const double to_midpoint = std::abs(std::abs(real_codes[i] - std::floor(real_codes[i])) - 0.5);
    if (apart > 1 || !(to_midpoint <= kMidpointWidth)) {
      return fmt::format("[{}]: code {} expected, {} found, real value {}", i, expected[i],
                         actual[i], real_codes[i]);
    }
  }
  return "";
}

double HalfUlp(double exact) {
  // Below 2^-14 FP16 is subnormal.
  const int exponent = std::ilogb(std::max(std::abs(exact), 0x1p-14));
  return std::max(std::ldexp(1.0, exponent - 10), 0x1p-15);
}

double RoundingBound(double operations, double magnitude) {
  return operations * 0x1p-53 * std::abs(magnitude);
}

double PrintedBound(int decimals) { return 0.5 * std::pow(10.0, -decimals); }

double MeanBound(double deviation, double draws) { return 5 * deviation / std::sqrt(draws); }

double RelativeL2(std::span<const double> expected, std::span<const float> actual) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = static_cast<double>(actual[i]) - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace w8a8::test
