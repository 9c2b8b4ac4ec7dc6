#include "eval/run/arm.h"

namespace w8a8 {

bool SameArithmetic(const Arm& first, const Arm& second) {
  return first.precision == second.precision &&
         (first.precision != Precision::kFake || first.flavour == second.flavour);
}

bool SameComputation(const Arm& first, const Arm& second) {
  return SameArithmetic(first, second) &&
         (first.precision == Precision::kFp16 || first.plan == second.plan);
}

}  // namespace w8a8
