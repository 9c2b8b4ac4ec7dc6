// The exponential of attention, as it is defined.
#pragma once

#include "quant/function_fits.h"
#include "quant/numerics.h"

namespace w8a8 {

// exp(x) for x <= 0, binary32 to binary32: relative error <= 2^-20, exp(0) = 1 exactly, 0 below
// -87, NaN stays NaN. exp(x) = 2^n exp(r) with n the integer nearest to x / ln 2, |r| <= ln 2 / 2.
inline float ExpNonPositive(float x) {
  constexpr ExpFit fit = ExpOfNonPositive();
  if (x < fit.underflow) return 0.0f;
  const float shifted = x * fit.inv_ln2 + 0x1.8p23f;  // leaves n in the low bits
  const float n = shifted - 0x1.8p23f;
  const float r = (x - n * fit.ln2_high) - n * fit.ln2_low;
  float sum = fit.p[6];
  for (int i = 5; i >= 0; --i) sum = sum * r + fit.p[i];
  const float power = FloatFromBits((FloatBits(shifted) + 127u) << 23);
  return sum * power;
}

}  // namespace w8a8
