// The CPU as a device.
#pragma once

#include <memory>
#include <string_view>

#include "runtime/backend.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const Kernels& kernels) : kernels_(kernels) {}

  PackedPtr PackFloat(MatView<const float> weight,
                      FloatOperands operands) override;                           // PackedFloats
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override;      // Int8Linear
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override;  // EmulatedLinear
  std::unique_ptr<Arena> MakeArena() override;                                    // CpuArena

 private:
  const Kernels& kernels_;
};

// With the kernel set that Select(`forced`) gives. Throws as it does.
std::unique_ptr<Backend> MakeCpuBackend(std::string_view forced);

}  // namespace w8a8
