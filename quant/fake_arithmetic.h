// Arithmetic in a 16-bit dtype, done in binary32: what the peers' fake flavours compute with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "quant/numerics.h"
#include "quant/spec.h"
#include "runtime/base/half.h"

namespace w8a8 {

// The nearest value of the flavour's dtype (BF16 or FP16), as binary32. One binary32 operation on
// operands of the dtype rounded by this is the dtype's operation: 24 bits are enough for innocuous
// double rounding of 11 and of 8.
inline float InDtypeOf(FakeFlavour flavour, float value) {
  return flavour == FakeFlavour::kVllmStaticBf16 ? ToFloat(ToBFloat16(value))
                                                 : ToFloat(ToHalf(value));
}
inline std::string_view DtypeNameOf(FakeFlavour flavour) {
  return flavour == FakeFlavour::kVllmStaticBf16 ? "BF16" : "FP16";
}

// 0 for NaN.
inline int8_t SaturatedCode(float rounded) {
  return std::isnan(rounded) ? int8_t{0}
                             : static_cast<int8_t>(std::clamp(rounded, -128.0f, 127.0f));
}

// max(amax, 1e-5) / max_code in FP16.
inline float LlmAwqScale(float amax, int32_t max_code) {
  const float least = InDtypeOf(FakeFlavour::kLlmAwq, 1e-5f);
  return InDtypeOf(FakeFlavour::kLlmAwq,
                   (amax < least ? least : amax) / static_cast<float>(max_code));
}

}  // namespace w8a8
