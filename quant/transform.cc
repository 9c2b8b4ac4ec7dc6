#include "quant/transform.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

template <class T>
void FlipSigns(uint64_t seed, std::span<T> row) {
  for (size_t k = 0; k < row.size(); ++k) {
    if ((CounterHash(seed, k) & 1) != 0) row[k] *= T{-1};
  }
}

template <class T>
void HadamardBlock(T* v, int64_t block) {
  for (int64_t h = 1; h < block; h *= 2) {
    for (int64_t first = 0; first < block; first += 2 * h) {
      for (int64_t i = first; i < first + h; ++i) {
        const T sum = v[i] + v[i + h];
        v[i + h] = v[i] - v[i + h];
        v[i] = sum;
      }
    }
  }
}

// I - (2/q) J over the q values of equal index in their blocks.
template <class T>
void MixBlocks(std::span<T> row, int64_t block) {
  const int64_t blocks = static_cast<int64_t>(row.size()) / block;
  const T factor = T{-2} / static_cast<T>(blocks);
  for (int64_t i = 0; i < block; ++i) {
    T* v = row.data() + i;
    T sum = v[0];
    for (int64_t j = 1; j < blocks; ++j) sum += v[j * block];
    for (int64_t j = 0; j < blocks; ++j) v[j * block] = std::fma(factor, sum, v[j * block]);
  }
}

// B is a power of two, so 1 / B is exact and the root is rounded once to binary64; to binary32 it
// is a power of two or 0x3f3504f3 times one, which no second rounding changes.
template <class T>
T NormOf(const Rotation& rotation) {
  return static_cast<T>(std::sqrt(1.0 / static_cast<double>(rotation.block)));
}

template <class T>
void Rotate(const Rotation& rotation, std::span<T> row) {
  FlipSigns(rotation.seed, row);
  const auto size = static_cast<int64_t>(row.size());
  for (int64_t first = 0; first < size; first += rotation.block) {
    HadamardBlock(row.data() + first, rotation.block);
  }
  if (rotation.mix && size > rotation.block) MixBlocks(row, rotation.block);
  const T norm = NormOf<T>(rotation);
  for (T& value : row) value *= norm;
}

}  // namespace

void CheckRotation(const Rotation& rotation, int64_t k, const std::string& site) {
  const bool power =
      rotation.block >= 2 && std::has_single_bit(static_cast<uint64_t>(rotation.block));
  if (!power || k % rotation.block != 0) {
    Fail(
        "{}: a rotation in blocks of {} inputs; a block is a power of two, at least 2, that "
        "divides "
        "the layer's {} inputs (the largest is {}).",
        site, rotation.block, k, k & -k);
  }
  if (rotation.seed > kMaxRotationSeed) {
    Fail("{}: the rotation's seed is {}; at most {} (2^53 - 1) is possible.", site, rotation.seed,
         kMaxRotationSeed);
  }
}

void CheckSmoothing(std::span<const float> smoothing, int64_t k, const std::string& site) {
  if (smoothing.empty()) return;
  if (static_cast<int64_t>(smoothing.size()) != k) {
    Fail("{}: smoothing holds {} values; the layer has {} inputs.", site, smoothing.size(), k);
  }
  for (size_t i = 0; i < smoothing.size(); ++i) {
    const float inverse = 1.0f / smoothing[i];
    if (smoothing[i] > 0.0f && std::isfinite(smoothing[i]) && inverse > 0.0f &&
        std::isfinite(inverse)) {
      continue;
    }
    Fail("{}: smoothing[{}] is {}; it and its reciprocal must be finite and > 0.", site, i,
         smoothing[i]);
  }
}

void TransformRow(const InputTransform& transform, std::span<float> row) {
  for (size_t k = 0; k < transform.inv_smoothing.size(); ++k) row[k] *= transform.inv_smoothing[k];
  if (transform.rotation) Rotate(*transform.rotation, row);
}

void RowFactors(const InputTransform& transform, std::span<float> factors) {
  std::fill(factors.begin(), factors.end(), 1.0f);
  std::copy(transform.inv_smoothing.begin(), transform.inv_smoothing.end(), factors.begin());
  if (transform.rotation) FlipSigns(transform.rotation->seed, factors);
}

float MixFactor(const Rotation& rotation, int64_t k) {
  const int64_t blocks = k / rotation.block;
  return rotation.mix && blocks > 1 ? -2.0f / static_cast<float>(blocks) : 0.0f;
}

float RotationNorm(const Rotation& rotation) { return NormOf<float>(rotation); }

void TransformWeightRow(std::span<const float> smoothing, const std::optional<Rotation>& rotation,
                        std::span<double> row) {
  for (size_t k = 0; k < smoothing.size(); ++k) row[k] *= double{smoothing[k]};
  if (rotation) Rotate(*rotation, row);
}

}  // namespace w8a8
