#include "runtime/encoder/checked_values.h"

#include <cmath>

#include "quant/all_finite.h"
#include "runtime/base/error.h"

namespace w8a8 {

void RequireFinite(const std::string& tensor, std::span<const float> values, size_t first) {
  if (AllFinite(values)) return;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      Fail(
          "{} holds {} at element {}; a weight must be finite. The file is damaged or its training "
          "diverged; fetch or convert it again, or take an earlier checkpoint.",
          tensor, values[i], first + i);
    }
  }
}

void RequirePositive(const std::string& tensor, std::span<const float> scales) {
  for (size_t i = 0; i < scales.size(); ++i) {
    if (!(scales[i] > 0.0f)) {
      Fail(
          "{} holds the scale {} at element {}; a scale must be above 0. Quantize the model again.",
          tensor, scales[i], i);
    }
  }
}

}  // namespace w8a8
