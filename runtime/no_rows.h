// Steps that have nothing to work on.
#pragma once

#include "runtime/arena.h"
#include "runtime/steps.h"

namespace w8a8 {

// True for a step over the rows of an expert that got none. Making them is never nothing.
bool IsOfNoRows(const Arena& arena, const Step& step);

}  // namespace w8a8
