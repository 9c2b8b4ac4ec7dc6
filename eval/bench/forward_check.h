// A forward before it is timed: step by step beside the scalar set's.
#pragma once

#include <span>

#include "eval/bench/steady_forward.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

// On SmallEncoder(), because the scalar set takes minutes for an encoder of real size. Every step
// of each variant gets the scalar set's slots and must leave what the scalar set's leaves: equal
// bits, codes and accumulators included, but for float products and float attention, which may be
// off by a small part of the largest output. A wrong one ends the run (W8A8_CHECK).
void CheckForward(const Kernels& set, std::span<const ForwardVariant> variants);

}  // namespace w8a8
