// Some outputs of a product by plain loops on the CPU: what a result too large for more of them is
// checked against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace w8a8::bench {

class SampledSums {
 public:
  struct Sum {
    int64_t row, col;
    int32_t value;
  };
  // Of x [m, k] and weight [n, k] without gaps: four whole rows of x * weight^T and a whole column,
  // so that each row and each column has one at least. No sum leaves int32.
  SampledSums(const std::vector<int8_t>& x, const std::vector<int8_t>& weight, int64_t m, int64_t n,
              int64_t k);

  // Where `y`, of rows `stride` apart, is not what `output` makes of a sum; empty: nowhere.
  template <class T, class Output>
  std::string Differs(const std::vector<T>& y, int64_t stride, Output output) const {
    for (const Sum& sum : sums_) {
      if (y[static_cast<size_t>(sum.row * stride + sum.col)] == output(sum)) continue;
      return fmt::format("WRONG: row {}, column {} is not what the CPU makes of its inputs",
                         sum.row, sum.col);
    }
    return "";
  }

 private:
  std::vector<Sum> sums_;
};

}  // namespace w8a8::bench
