// A device: packs weights for its steps and hands out memory to run them on.
#pragma once

#include <cstdint>
#include <memory>

#include "quant/quantized_linear.h"
#include "runtime/arena.h"
#include "runtime/steps.h"

namespace w8a8 {

// What both operands of a float product hold.
enum class FloatOperands : uint8_t { kHalf, kAny };  // FP16 values; any of binary32

// One object per run. Packed weights and the object itself are shared by all workers; each worker
// has arenas of its own. One thread at a time packs, while others run steps.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) = 0;  // [N, K]
  // `group`: inputs whose product has an accumulator of its own (ProductGroup), K where there are
  // no groups.
  virtual PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) = 0;
  virtual PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) = 0;

  // Empty, for one worker. Outlived by this object.
  virtual std::unique_ptr<Arena> MakeArena() = 0;
};

}  // namespace w8a8
