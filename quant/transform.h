// What a row goes through in binary32 before its quantizer sees it: smoothing and rotation at a
// site (numerics.md section 6), and the same of the weights in binary64, so that in exact
// arithmetic the product stays what it was. Smoothing: SmoothQuant (Xiao et al., 2022); rotation by
// randomized Hadamard blocks: QuaRot (Ashkboos et al., 2024).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace w8a8 {

// Signs, then a Hadamard transform of each block of `block` inputs, then, where there are several
// blocks and `mix` is set, the reflection I - (2/q) J across the q blocks; orthonormal.
struct Rotation {
  int64_t block = 0;  // B: a power of two >= 2 that divides K
  bool mix = false;
  uint64_t seed = 0;  // of the signs; at most 2^53 - 1
  friend bool operator==(const Rotation&, const Rotation&) = default;
};

constexpr uint64_t kMaxRotationSeed = (uint64_t{1} << 53) - 1;

struct InputTransform {
  std::vector<float> inv_smoothing = {};  // [k]: v[k] = x[k] * inv_smoothing[k]; empty: none
  std::optional<Rotation> rotation = {};
  bool empty() const { return inv_smoothing.empty() && !rotation; }
  friend bool operator==(const InputTransform&, const InputTransform&) = default;
};

// Throws Error naming `site` unless the rotation can be of `k` inputs.
void CheckRotation(const Rotation& rotation, int64_t k, const std::string& site);
// Throws Error naming `site` unless there are `k` values or none, each finite and > 0, as is its
// reciprocal in binary32.
void CheckSmoothing(std::span<const float> smoothing, int64_t k, const std::string& site);

// In place: x [k] to v [k]. The transform was checked.
void TransformRow(const InputTransform& transform, std::span<float> row);
// Parts of it for who transforms many rows: smoothing and signs in one, [k]; what the mix adds of
// the sum over the blocks, -2 / q, or 0 where nothing is mixed; the rotation's B^(-1/2).
void RowFactors(const InputTransform& transform, std::span<float> factors);
float MixFactor(const Rotation& rotation, int64_t k);
float RotationNorm(const Rotation& rotation);
// In place, one row of weights: w[k] * s[k], then the rotation, all in binary64.
void TransformWeightRow(std::span<const float> smoothing, const std::optional<Rotation>& rotation,
                        std::span<double> row);

}  // namespace w8a8
