#include "eval/measure/running_sqnr.h"

#include <cmath>

#include <fmt/format.h>

namespace w8a8 {

void RunningSqnr::Add(size_t run, const std::string& place, const ImageError& error) {
  if (run != run_) return;
  const std::lock_guard lock(mutex_);
  Sums& sums = sums_[place];
  sums.expected_sq += error.sum_expected_sq;
  sums.error_sq += error.sum_error_sq;
  last_place_ = place;
}

std::string RunningSqnr::Text() const {
  const std::lock_guard lock(mutex_);
  if (last_place_.empty()) return "";
  const Sums& sums = sums_.at(last_place_);
  if (sums.error_sq == 0) return fmt::format("{} exact at {}", arm_, last_place_);
  return fmt::format("{} {:.1f} dB at {}", arm_, 10 * std::log10(sums.expected_sq / sums.error_sq),
                     last_place_);
}

}  // namespace w8a8
