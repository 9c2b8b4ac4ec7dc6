// The vectors that steps point at (norm weights, biases, positions), once on the device for all who
// use them.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/base/half.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/steps.h"

namespace w8a8 {

// Shared by all arenas of a backend; any thread may call it.
class DeviceVectors {
 public:
  // nullptr where there is none or it is empty. Lives as long as a program holds `values`, and is
  // let go of by Sweep() after that.
  const float* Get(const FloatsPtr& values);
  // Smoothing and signs of a transform in one, [cols] (RowFactors).
  const float* FactorsOf(const TransformPtr& transform, int64_t cols);
  const Half* TanhTable();

  // Lets go of what nobody else holds any more. A step that runs is a program's, which holds its
  // own.
  void Sweep();
  size_t count();

 private:
  struct Entry {
    std::shared_ptr<const void> owner;  // keeps the key from being used again
    DeviceMemory<float> values;
  };
  const float* Keep(std::shared_ptr<const void> owner, std::span<const float> values);

  std::mutex mutex_;
  std::map<const void*, Entry> entries_;
  DeviceMemory<Half> tanh_;
};

}  // namespace w8a8
