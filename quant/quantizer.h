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

// kToken: dynamic, one scale per row from the row's range. kGroup: dynamic and symmetric, one scale
// per row and `group_size` inputs (the last group may be short). kTensor: one static `scale` from
// calibration (finite, > 0, as is its reciprocal; 0 is the uncalibrated side of vllm-static).
// Asymmetric: codes -128 to 127 around a zero point, of each row (kToken) or static (kTensor).
struct Quantizer {
  Granularity granularity = Granularity::kToken;
  float clip_range = kNoClip;  // R: > 0 or infinity
  float scale = 0.0f;          // kTensor only
  bool symmetric = true;
  int32_t zero_point = 0;  // the code of 0.0 in [-128, 127]; asymmetric kTensor only
  int64_t group_size = 0;  // kGroup only, >= 1

  static constexpr int32_t kHighestCode = kMaxCode;
  constexpr int32_t lowest_code() const { return symmetric ? -kMaxCode : kLowestInt8; }

  static constexpr Quantizer Static(float scale, float clip_range = kNoClip) {
    return {.granularity = Granularity::kTensor, .clip_range = clip_range, .scale = scale};
  }

  bool is_static() const { return granularity == Granularity::kTensor; }
  // Inputs that share a scale within a row, of `cols` (> 0): all of them, or a group.
  int64_t GroupOf(int64_t cols) const {
    return granularity == Granularity::kGroup && group_size < cols ? group_size : cols;
  }
  int64_t GroupsOf(int64_t cols) const {
    const int64_t group = GroupOf(cols);
    return (cols + group - 1) / group;
  }
  // Of a row (of a row's group) with these extremes, which a static scale does not look at.
  ActivationScale ScaleOf(FiniteRange range) const {
    if (is_static()) return {scale, 1.0f / scale, zero_point};
    return symmetric ? TokenScale(Amax(range), clip_range)
                     : AsymmetricTokenScale(range, clip_range);
  }
  int8_t CodeOf(float x, const ActivationScale& row) const {
    return symmetric ? ActivationCode(x, row.inv_scale)
                     : AsymmetricCode(x, row.inv_scale, row.zero_point);
  }
  bool Saturates(float x, const ActivationScale& row) const {
    return symmetric ? IsSaturated(x, row.inv_scale)
                     : IsAsymmetricSaturated(x, row.inv_scale, row.zero_point);
  }
  static float RealOf(int8_t code, const ActivationScale& row) {
    return static_cast<float>(code - row.zero_point) * row.scale;
  }

  friend bool operator==(const Quantizer&, const Quantizer&) = default;
};

}  // namespace w8a8
