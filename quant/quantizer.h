// How real values become int8 codes and back, as one value: what a plan says about the input of a
// linear layer, and what every step, kernel and tap goes by. It alone knows which rows share a
// scale. The arithmetic is that of quant/numerics.h, in every bit.
#pragma once

#include <cstdint>
#include <limits>

#include "quant/numerics.h"

namespace w8a8 {

enum class Granularity : uint8_t { kTensor, kToken, kChannel, kGroup };

constexpr float kNoClip = std::numeric_limits<float>::infinity();
// The classic constant of llm-awq's fused encoders; a named point of every sweep.
constexpr float kClipRange = 5.0f;

// kToken: dynamic, one scale per row from the row's largest magnitude. kTensor: one static `scale`
// from calibration (finite, > 0, as is its reciprocal; 0 is the uncalibrated side of vllm-static).
struct Quantizer {
  Granularity granularity = Granularity::kToken;
  float clip_range = kNoClip;  // R: > 0 or infinity
  float scale = 0.0f;          // kTensor only
  int32_t zero_point = 0;      // the code of 0.0

  static constexpr int32_t kLowestCode = -kMaxCode;
  static constexpr int32_t kHighestCode = kMaxCode;

  static constexpr Quantizer Static(float scale, float clip_range = kNoClip) {
    return {.granularity = Granularity::kTensor, .clip_range = clip_range, .scale = scale};
  }

  bool is_static() const { return granularity == Granularity::kTensor; }
  // How many scales `rows` rows have: one each, or one for all.
  int64_t ScaleCount(int64_t rows) const { return is_static() ? 1 : rows; }

  // Of a row whose largest finite magnitude is `amax`, which a static scale does not look at.
  ActivationScale ScaleOfRow(float amax) const {
    return is_static() ? TensorScale(scale) : TokenScale(amax, clip_range);
  }
  int8_t CodeOf(float x, const ActivationScale& row) const {
    return ActivationCode(x, row.inv_scale);
  }
  bool Saturates(float x, const ActivationScale& row) const {
    return IsSaturated(x, row.inv_scale);
  }
  float RealOf(int8_t code, float row_scale) const {
    return static_cast<float>(code - zero_point) * row_scale;
  }

  friend bool operator==(const Quantizer&, const Quantizer&) = default;
};

}  // namespace w8a8
