#include "runtime/cpu/emulated_linear.h"

#include <algorithm>
#include <numeric>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr int64_t kChunk = 1024;  // 1,024 * 127 * 128 < 2^24: every partial sum is exact

void WidenCodes(const int8_t* codes, int64_t rows, int64_t stride, int64_t cols, float* values) {
  for (int64_t r = 0; r < rows; ++r) std::copy_n(codes + r * stride, cols, values + r * cols);
}

void Store(OutputView y, int64_t row, int64_t col, float value) {
  const int64_t at = row * y.stride + col;
  switch (y.type) {
    case OutputType::kHalf:
      static_cast<Half*>(y.data)[at] = ToHalf(value);
      break;
    case OutputType::kBFloat16:
      static_cast<BFloat16*>(y.data)[at] = ToBFloat16(value);
      break;
    case OutputType::kFloat:
      static_cast<float*>(y.data)[at] = value;
      break;
  }
}

}  // namespace

EmulatedLinear::EmulatedLinear(const QuantizedLinear& linear, int64_t group,
                               const PackFloatFn& pack)
    : n_(linear.weight.n), k_(linear.weight.k), bias_(linear.bias) {
  W8A8_CHECK(group == k_ && linear.weight.zero_points.empty());
  for (int64_t n = 0; n < n_; ++n) scale_.push_back(linear.weight.ScaleOf(n, 0));
  std::vector<float> chunk;
  for (int64_t begin = 0; begin < k_; begin += kChunk) {
    const int64_t cols = std::min(kChunk, k_ - begin);
    chunk.resize(static_cast<size_t>(n_ * cols));
    WidenCodes(linear.weight.codes.data() + begin, n_, k_, cols, chunk.data());
    chunks_.push_back(pack({chunk.data(), n_, cols, cols}));
  }
  for (int64_t n = 0; n < n_; ++n) {
    const int8_t* row = linear.weight.codes.data() + n * k_;
    weight_code_sum_.push_back(std::accumulate(row, row + k_, int32_t{0}));
  }
}

void EmulatedLinear::Run(MatView<const Half> x, const InputScheme& input,
                         const MultiplyFloatFn& multiply, OutputView y,
                         EmulatedScratch* scratch) const {
  W8A8_CHECK(x.cols == k_ && y.rows == x.rows && y.cols == n_);
  scratch->rows = QuantizeRowsReference(x, input);
  const int8_t* codes = scratch->rows.codes.data();
  const RowScales& scales = scratch->rows.scales;
  int32_t* acc = scratch->acc.Reserve(x.rows * n_);
  float* chunk_codes = scratch->chunk_codes.Reserve(x.rows * std::min(kChunk, k_));
  float* product = scratch->chunk_product.Reserve(x.rows * n_);
  std::fill_n(acc, x.rows * n_, 0);
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const int64_t begin = static_cast<int64_t>(i) * kChunk;
    const int64_t cols = std::min(kChunk, k_ - begin);
    WidenCodes(codes + begin, x.rows, k_, cols, chunk_codes);
    multiply({chunk_codes, x.rows, cols, cols}, *chunks_[i], {product, x.rows, n_, n_});
    for (int64_t j = 0; j < x.rows * n_; ++j) acc[j] += static_cast<int32_t>(product[j]);
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    const float scale_x = scales.At(r, 0).scale;
    for (int64_t c = 0; c < n_; ++c) {
      const auto column = static_cast<size_t>(c);
      const float bias = bias_.empty() ? 0.0f : bias_[column];
      Store(y, r, c, Dequantize(acc[r * n_ + c], scale_[column], scale_x, bias));
    }
  }
}

}  // namespace w8a8
