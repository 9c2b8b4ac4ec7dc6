// Products whose next step a device may do as it stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/steps.h"

namespace w8a8 {

// What the step behind a GemmS8Step or GemmF16Step makes of its outputs, which nobody else reads.
enum class ProductFusion : uint8_t {
  kNone,
  kResidual,    // an AddStep, or the residual of a NormStep, adds them to a stream of FP16
  kCodes,       // an ActivationStep makes codes of them; its values are read by nobody either
  kActivation,  // of a GemmF16Step: an ActivationStep makes FP16 values of them and no codes
};

// By step. A device that does both steps at once leaves the slots between them unwritten: none of
// them is read by a later step before that is written anew, and none is one of `kept`.
std::vector<ProductFusion> ProductFusions(const Program& program, std::span<const SlotId> kept);

// Whether the values that an FP16 or FP32 slot has before step `first` are never looked at.
bool IsDead(const Program& program, size_t first, SlotId slot, std::span<const SlotId> kept);

}  // namespace w8a8
