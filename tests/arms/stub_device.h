// A device whose memory is not the host's, made of the CPU's steps: what a GPU backend may do, a
// test can see.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "runtime/cpu/cpu_backend.h"

namespace w8a8::test {

// What all arenas of a stub device were asked to do.
struct Traffic {
  std::atomic<uint64_t> uploaded_bytes = 0;
  std::atomic<uint64_t> downloaded_bytes = 0;
  std::atomic<int64_t> steps = 0;
  std::atomic<int64_t> whole_programs = 0;
};

// A host view is a copy of the device's bytes, and turns into NaNs when it ends: a caller that
// reads on, or that writes where it may only read, does not get the CPU's results. Every step takes
// one second by the device's clock.
class StubBackend final : public Backend {
 public:
  // `traffic` outlives the device.
  StubBackend(const Kernels& kernels, Traffic* traffic) : cpu_(kernels), traffic_(traffic) {}

  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override {
    return cpu_.PackFloat(weight, operands);
  }
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override {
    return cpu_.PackInt8(linear, group);
  }
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override {
    return cpu_.PackEmulated(linear, group);
  }
  std::unique_ptr<Arena> MakeArena() override;

 private:
  CpuBackend cpu_;
  Traffic* const traffic_;
};

}  // namespace w8a8::test
