#include "calib/wide_int.h"

#include <cmath>

#include "runtime/base/error.h"

namespace w8a8 {

Int128 ToFixedPoint(double value, int fraction_bits) {
  const double scaled = value * static_cast<double>(uint64_t{1} << fraction_bits);
  W8A8_CHECK(std::fabs(scaled) < 0x1p126);
  const Int128 fixed = static_cast<Int128>(scaled);
  W8A8_CHECK(static_cast<double>(fixed) == scaled);
  return fixed;
}

}  // namespace w8a8
