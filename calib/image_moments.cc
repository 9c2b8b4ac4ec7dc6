#include "calib/image_moments.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Magnitudes are patterns without the sign bit: they order like the values and fit int16, whose
// maximum every SIMD set has.
int16_t KeepFinite(std::span<const Half> row, Half* finite, Half* absmax) {
  constexpr int16_t kInfinity = kHalfInfinityBits;
  int16_t row_max = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const auto magnitude = static_cast<int16_t>(row[i].bits & 0x7fffu);
    const int16_t kept = magnitude < kInfinity ? magnitude : int16_t{0};
    finite[i].bits = magnitude < kInfinity ? row[i].bits : uint16_t{0};
    absmax[i].bits = static_cast<uint16_t>(std::max(static_cast<int16_t>(absmax[i].bits), kept));
    row_max = std::max(row_max, kept);
  }
  return row_max;
}

void AddValues(std::span<const float> values, double* sum, double* sum_sq) {
  for (size_t i = 0; i < values.size(); ++i) {
    sum[i] += static_cast<double>(values[i]);
    sum_sq[i] += static_cast<double>(values[i] * values[i]);
  }
}

}  // namespace

ImageMoments::ImageMoments(int64_t channels)
    : sum(static_cast<size_t>(channels), 0.0),
      sum_sq(sum),
      absmax(sum.size()),
      finite_(sum.size()),
      values_(sum.size()) {}

Half ImageMoments::AddRow(std::span<const Half> row) {
  W8A8_CHECK(row.size() == sum.size());
  const int16_t row_max = KeepFinite(row, finite_.data(), absmax.data());
  ToFloat(finite_, values_);
  AddValues(values_, sum.data(), sum_sq.data());
  return Half{static_cast<uint16_t>(row_max)};
}

}  // namespace w8a8
