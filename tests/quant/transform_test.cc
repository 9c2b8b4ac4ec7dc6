// Smoothing and rotation of rows: orthonormal, and undone by the weights'.
#include "quant/transform.h"

#include <bit>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::vector<float> RandomFloats(size_t count, uint64_t seed) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = HashUniform(seed, i);
  return values;
}

// A row of the matrix that the rotation multiplies by, written out: signs, Walsh-Hadamard entries
// of index parities, and the reflection across blocks.
std::vector<double> Rotated(const Rotation& rotation, const std::vector<float>& x) {
  const size_t k = x.size(), block = static_cast<size_t>(rotation.block), blocks = k / block;
  std::vector<double> v(k);
  for (size_t to = 0; to < k; ++to) {
    for (size_t i = 0; i < block; ++i) {
      const size_t from = to / block * block + i;
      const bool sign = (MixBits(MixBits(rotation.seed) ^ from) & 1) != 0;
      const bool odd = std::popcount(i & (to % block)) % 2 != 0;
      v[to] += (sign != odd ? -1.0 : 1.0) * double{x[from]};
    }
  }
  if (rotation.mix && blocks > 1) {
    const std::vector<double> before = v;
    for (size_t to = 0; to < k; ++to) {
      for (size_t j = 0; j < blocks; ++j) {
        v[to] -= 2.0 / static_cast<double>(blocks) * before[j * block + to % block];
      }
    }
  }
  for (double& value : v) value /= std::sqrt(static_cast<double>(block));
  return v;
}

const std::vector<Rotation> kRotations = {
    {2, false, 0}, {8, true, 7}, {32, false, 3}, {32, true, 1}};

TEST(TransformRow, IsTheRotationWrittenOut) {
  for (const Rotation& rotation : kRotations) {
    const std::vector<float> x = RandomFloats(96, 11);
    std::vector<float> v = x;
    TransformRow({.rotation = rotation}, v);
    const std::vector<double> expected = Rotated(rotation, x);
    double difference = 0, power = 0;
    for (size_t i = 0; i < v.size(); ++i) {
      difference += (v[i] - expected[i]) * (v[i] - expected[i]);
      power += expected[i] * expected[i];
    }
    EXPECT_LT(difference, power * 0x1p-40) << rotation.block;
  }
}

// The transforms of row and weights cancel in the product, whatever the smoothing.
TEST(TransformRow, LeavesTheProductWhatItWas) {
  for (const Rotation& rotation : kRotations) {
    const std::vector<float> x = RandomFloats(96, 21), w = RandomFloats(96, 22);
    std::vector<float> smoothing = RandomFloats(96, 23);
    InputTransform transform{.rotation = rotation};
    for (float& s : smoothing) {
      s = 0.25f + std::abs(s);
      transform.inv_smoothing.push_back(1.0f / s);
    }
    std::vector<float> v = x;
    TransformRow(transform, v);
    std::vector<double> u(w.begin(), w.end());
    TransformWeightRow(smoothing, rotation, u);
    double before = 0, after = 0, size = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      before += double{x[i]} * double{w[i]};
      after += double{v[i]} * u[i];
      size += std::abs(double{x[i]} * double{w[i]});
    }
    EXPECT_LT(std::abs(before - after), size * 0x1p-20) << rotation.block;
  }
}

TEST(CheckRotation, NamesTheSiteAndTheLargestBlockThatFits) {
  for (const int64_t block : {0, 1, 3, 64, -2}) {
    try {
      CheckRotation({.block = block}, 96, "blocks.0.mlp.fc1");
      FAIL() << block;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("blocks.0.mlp.fc1"), std::string::npos) << message;
      EXPECT_NE(message.find("the largest is 32"), std::string::npos) << message;
    }
  }
  CheckRotation({.block = 32}, 96, "site");
  EXPECT_THROW(CheckRotation({.block = 2, .seed = uint64_t{1} << 53}, 96, "site"), Error);
}

TEST(CheckSmoothing, RefusesWhatHasNoReciprocal) {
  CheckSmoothing({}, 2, "site");
  for (const std::vector<float>& smoothing :
       {std::vector<float>{1.0f}, std::vector<float>{1.0f, 0.0f},
        std::vector<float>{1.0f, 0x1p-149f}, std::vector<float>{1.0f, -2.0f},
        std::vector<float>{1.0f, std::nanf("")}}) {
    EXPECT_THROW(CheckSmoothing(smoothing, 2, "site"), Error);
  }
}

}  // namespace
}  // namespace w8a8
