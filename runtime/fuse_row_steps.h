// Peepholes on a lowered program: what saves a pass over the rows between two steps.
#pragma once

#include "runtime/steps.h"

namespace w8a8 {

// An AddStep moves into the norm of its stream that comes next; a QuantizeStep moves into the step
// that made its input, where that is a norm, an activation or a gate and nothing in between uses
// the slot of the codes. Every slot keeps its bits.
void FuseRowSteps(Program* program);

}  // namespace w8a8
