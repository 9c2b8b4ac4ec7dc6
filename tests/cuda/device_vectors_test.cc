// Vectors on the device live as long as a program that points at them, and no longer.
#include "runtime/cuda/device_vectors.h"

#include <gtest/gtest.h>

#include "tests/cuda/device_test.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test {
namespace {

class Vectors : public DeviceTest {};

std::vector<float> Read(const float* on_device, size_t count) {
  std::vector<float> values(count);
  CopyToHost(nullptr, values.data(), reinterpret_cast<const std::byte*>(on_device),
             count * sizeof(float));
  return values;
}

TEST_F(Vectors, AreUploadedOnceAndLetGoOfWhenTheirProgramIsGone) {
  DeviceVectors vectors;
  FloatsPtr kept = Shared({1, 2, 3}), gone = Shared({4, 5});
  const float* first = vectors.Get(kept);
  vectors.Get(gone);
  EXPECT_EQ(vectors.Get(kept), first);
  EXPECT_EQ(Read(first, 3), *kept);
  EXPECT_EQ(vectors.count(), 2u);
  gone.reset();
  vectors.Sweep();
  EXPECT_EQ(vectors.count(), 1u);
  EXPECT_EQ(Read(vectors.Get(kept), 3), *kept);
}

TEST_F(Vectors, ThatAreNotThereAreNull) {
  DeviceVectors vectors;
  EXPECT_EQ(vectors.Get(nullptr), nullptr);
  EXPECT_EQ(vectors.Get(Shared({})), nullptr);
  EXPECT_EQ(vectors.FactorsOf(nullptr, 7), nullptr);
  EXPECT_EQ(vectors.count(), 0u);
}

}  // namespace
}  // namespace w8a8::test
