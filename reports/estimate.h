// Numbers measured on images, with their 95 % intervals.
#pragma once

#include <cstdint>
#include <limits>

namespace w8a8 {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// Not finite (the SQNR of a zero error, a mean over nothing) is written as null to JSON and as NaN
// to HDF5.
struct Estimate {
  double value = kUndefined;
  double low = kUndefined;
  double high = kUndefined;
};

// One output of an arm ("tokens", "pooled", "logits") against the reference's.
struct OutputErrors {
  Estimate sqnr_db, relative_l2, cosine_mean, cosine_p1, max_abs;
  bool exact = false;      // equal in every element; sqnr_db is then undefined
  uint64_t nonfinite = 0;  // elements left out because they are NaN or infinite
};

}  // namespace w8a8
