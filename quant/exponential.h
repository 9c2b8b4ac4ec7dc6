// The exponential of attention and of routers, as it is defined (numerics.md section 2). Host and
// device.
#pragma once

#include "quant/function_fits.h"
#include "quant/numerics.h"

namespace w8a8 {

// exp(x) for x <= 0, binary32 to binary32: relative error <= 2^-19, exp(0) = 1 exactly, 0 below
// -87, NaN stays NaN. exp(x) = 2^n 2^f with n the integer nearest to x / ln 2: the polynomial of
// 2^f is good to 2^-23, the product x / ln 2 with its one rounded factor to 2^-19.5 at -87.
W8A8_HOST_DEVICE inline float ExpNonPositive(float x) {
  constexpr ExpFit fit = ExpOfNonPositive();
  if (x < fit.underflow) return 0.0f;
  const float shifted = Fma(x, fit.inv_ln2, 0x1.8p23f);  // leaves n in the low bits
  const float f = Fma(x, fit.inv_ln2, -(shifted - 0x1.8p23f));
  float sum = fit.p[5];
  for (int i = 4; i >= 0; --i) sum = Fma(sum, f, fit.p[i]);
  return FloatFromBits(FloatBits(sum) + (FloatBits(shifted) << 23));
}

// 1 / (1 + exp(-v)) without overflow.
W8A8_HOST_DEVICE inline float Sigmoid(float v) {
  if (v >= 0.0f) return 1.0f / (1.0f + ExpNonPositive(-v));
  const float power = ExpNonPositive(v);
  return power / (1.0f + power);
}

}  // namespace w8a8
