#include "tests/cuda/bench_sample.h"

namespace w8a8::bench {
namespace {

constexpr int64_t kRows = 4;

int32_t Dot(const int8_t* x, const int8_t* w, int64_t k) {
  int32_t sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += x[i] * w[i];
  return sum;
}

}  // namespace

SampledSums::SampledSums(const std::vector<int8_t>& x, const std::vector<int8_t>& weight, int64_t m,
                         int64_t n, int64_t k) {
  const auto add = [&](int64_t row, int64_t col) {
    sums_.push_back(
        {row, col,
         Dot(&x[static_cast<size_t>(row * k)], &weight[static_cast<size_t>(col * k)], k)});
  };
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t row = i * (m - 1) / (kRows - 1);
    for (int64_t col = 0; col < n; ++col) add(row, col);
  }
  for (int64_t row = 0; row < m; ++row) add(row, n / 2);
}

}  // namespace w8a8::bench
