#include "eval/run/arm.h"

namespace w8a8 {

bool SameComputation(const Arm& first, const Arm& second) {
  if (first.precision != second.precision) return false;
  if (first.precision == Precision::kFp16) return true;
  if (first.precision == Precision::kFake && first.flavour != second.flavour) return false;
  return first.plan == second.plan;
}

}  // namespace w8a8
