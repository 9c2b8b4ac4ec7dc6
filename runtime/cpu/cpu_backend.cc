#include "runtime/cpu/cpu_backend.h"

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/packed_floats.h"
#include "runtime/emulated_linear.h"

namespace w8a8 {

PackedPtr CpuBackend::PackFloat(MatView<const float> weight, FloatOperands operands) {
  const bool half = operands == FloatOperands::kHalf;
  return std::make_shared<PackedFloats>(weight,
                                        half ? kernels_.floats->half : kernels_.floats->wide);
}

PackedPtr CpuBackend::PackInt8(const QuantizedLinear& linear, int64_t group) {
  return std::make_shared<Int8Linear>(linear, group, *kernels_.int8);
}

PackedPtr CpuBackend::PackEmulated(const QuantizedLinear& linear, int64_t group) {
  const PackFloatFn pack = [](MatView<const float> weight) {
    return std::make_shared<FloatWeights>(weight);
  };
  return std::make_shared<EmulatedLinear>(linear, group, pack);
}

std::unique_ptr<Arena> CpuBackend::MakeArena() { return std::make_unique<CpuArena>(kernels_); }

std::unique_ptr<Backend> MakeCpuBackend(std::string_view forced) {
  return std::make_unique<CpuBackend>(Select(forced));
}

}  // namespace w8a8
