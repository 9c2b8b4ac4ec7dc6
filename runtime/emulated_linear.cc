#include "runtime/emulated_linear.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr int64_t kChunk = 1024;  // of K: every partial sum is exact

// int8 codes [rows, stride] from a column on, as floats [rows, cols] without gaps.
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

int32_t SumOf(const int8_t* codes, int64_t count) {
  return std::accumulate(codes, codes + count, int32_t{0});
}

}  // namespace

EmulatedLinear::EmulatedLinear(const QuantizedLinear& linear, int64_t group,
                               const PackFloatFn& pack)
    : n_(linear.weight.n),
      k_(linear.weight.k),
      weight_groups_(linear.weight.groups() > 1),
      bias_(linear.bias) {
  W8A8_CHECK(group >= 1 && (!weight_groups_ || linear.weight.group() % group == 0));
  for (int64_t first = 0; first < k_; first += group) {
    groups_.push_back(MakeGroup(linear.weight, first, std::min(group, k_ - first), pack));
  }
  for (int64_t n = 0; n < n_; ++n) {
    weight_code_sum_.push_back(SumOf(linear.weight.codes.data() + n * k_, k_));
  }
}

EmulatedLinear::Group EmulatedLinear::MakeGroup(const WeightCodes& weight, int64_t first,
                                                int64_t cols, const PackFloatFn& pack) {
  Group group{.first = first, .cols = cols};
  const int64_t weight_group = first / weight.group();
  for (int64_t n = 0; n < n_; ++n) {
    group.code_sum.push_back(SumOf(weight.codes.data() + n * k_ + first, cols));
    group.scale.push_back(weight.ScaleOf(n, weight_group));
    if (!weight.zero_points.empty()) {
      group.zero_point.push_back(weight.ZeroPointOf(n, weight_group));
    }
  }
  for (int64_t begin = first; begin < first + cols; begin += kChunk) {
    const int64_t width = std::min(kChunk, first + cols - begin);
    std::vector<float> values(static_cast<size_t>(n_ * width));
    WidenCodes(weight.codes.data() + begin, n_, k_, width, values.data());
    const MatView<const float> view{values.data(), n_, width, width};
    Chunk chunk{begin, width, pack(view), nullptr};
    chunk.values = chunk.codes;
    if (!group.zero_point.empty()) {
      for (int64_t i = 0; i < n_ * width; ++i) {
        values[static_cast<size_t>(i)] -=
            static_cast<float>(group.zero_point[static_cast<size_t>(i / width)]);
      }
      chunk.values = pack(view);
    }
    group.chunks.push_back(std::move(chunk));
  }
  return group;
}

void EmulatedLinear::Run(MatView<const Half> x, const InputScheme& input,
                         const MultiplyFloatFn& multiply, OutputView y, EmulatedScratch* scratch,
                         MatView<int32_t> acc) const {
  W8A8_CHECK(x.cols == k_ && y.rows == x.rows && y.cols == n_);
  QuantizeRowsReference(x, input, &scratch->rows);
  const RowScales& scales = scratch->rows.scales;
  const auto rows = static_cast<int64_t>(scratch->rows.codes.size()) / k_;
  W8A8_CHECK(acc.data == nullptr || (acc.rows == groups() * rows && acc.cols == n_));
  const bool grouped = weight_groups_ || scales.groups > 1;
  W8A8_CHECK(grouped || groups() == 1);
  if (grouped) std::fill_n(scratch->sum.Reserve(x.rows * n_), x.rows * n_, 0.0f);
  for (int64_t g = 0; g < groups(); ++g) {
    const Group& group = groups_[static_cast<size_t>(g)];
    MultiplyGroup(group, multiply, rows, scratch);
    TakeZeroPointsOff(group, scratch);
    for (int64_t r = 0; acc.data != nullptr && r < rows; ++r) {
      std::copy_n(scratch->acc.data() + r * n_, n_, acc.row(g * rows + r));
    }
    if (grouped) AddGroup(group, x.rows, scratch);
  }
  if (!grouped) return Dequantize(*scratch, y);
  DequantizeGroups(scales, scratch->sum.data(), y);
}

// The raw products of the codes.
void EmulatedLinear::MultiplyGroup(const Group& group, const MultiplyFloatFn& multiply,
                                   int64_t rows, EmulatedScratch* scratch) const {
  int32_t* acc = scratch->acc.Reserve(rows * n_);
  float* codes = scratch->chunk_codes.Reserve(rows * std::min(kChunk, group.cols));
  float* product = scratch->chunk_product.Reserve(rows * n_);
  std::fill_n(acc, rows * n_, 0);
  for (const Chunk& chunk : group.chunks) {
    WidenCodes(scratch->rows.codes.data() + chunk.first, rows, k_, chunk.cols, codes);
    multiply({codes, rows, chunk.cols, chunk.cols}, *chunk.codes, {product, rows, n_, n_});
    for (int64_t j = 0; j < rows * n_; ++j) acc[j] += static_cast<int32_t>(product[j]);
  }
}

// sum cx cw - z sum cw - zp sum cx + K_g z zp. A term may pass 2^31 where their sum does not.
void EmulatedLinear::TakeZeroPointsOff(const Group& group, EmulatedScratch* scratch) const {
  const ReferenceRows& x = scratch->rows;
  if (x.scales.zero_points.empty() && group.zero_point.empty()) return;
  const auto rows = static_cast<int64_t>(x.codes.size()) / k_;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t z = x.scales.zero_points.empty() ? 0 : x.scales.At(r, group.first).zero_point;
    const int64_t code_sum = SumOf(x.codes.data() + r * k_ + group.first, group.cols);
    int32_t* acc = scratch->acc.data() + r * n_;
    for (size_t c = 0; c < static_cast<size_t>(n_); ++c) {
      const int64_t zp = group.zero_point.empty() ? 0 : group.zero_point[c];
      const int64_t exact =
          int64_t{acc[c]} - z * group.code_sum[c] - zp * code_sum + group.cols * z * zp;
      acc[c] = static_cast<int32_t>(exact);
    }
  }
}

// Without groups; second codes lie after all rows, one row an image.
void EmulatedLinear::Dequantize(const EmulatedScratch& scratch, OutputView y) const {
  const RowScales& scales = scratch.rows.scales;
  const std::vector<float>& scale_w = groups_.front().scale;
  const auto images = static_cast<int64_t>(scales.second_values.size());
  const int64_t rows_per_image = images > 0 ? y.rows / images : 1;
  for (int64_t r = 0; r < y.rows; ++r) {
    const float scale_x = scales.At(r, 0).scale;
    const int32_t* acc = scratch.acc.data() + r * n_;
    const bool twice = images > 0 && r % rows_per_image == 0;
    const int64_t image = r / rows_per_image;
    for (int64_t c = 0; c < n_; ++c) {
      const float w = scale_w[static_cast<size_t>(c)];
      float value = w8a8::Dequantize(acc[c], w, scale_x, BiasOf(c));
      if (twice) {
        const int32_t second = scratch.acc[(y.rows + image) * n_ + c];
        value =
            w8a8::Dequantize(second, w, scales.second_values[static_cast<size_t>(image)], value);
      }
      Store(y, r, c, value);
    }
  }
}

// t of numerics.md section 6 for one more group.
void EmulatedLinear::AddGroup(const Group& group, int64_t rows, EmulatedScratch* scratch) const {
  const RowScales& scales = scratch->rows.scales;
  for (int64_t r = 0; r < rows; ++r) {
    const float scale_x = scales.At(r, group.first).scale;
    const int32_t* acc = scratch->acc.data() + r * n_;
    float* t = scratch->sum.data() + r * n_;
    for (int64_t c = 0; c < n_; ++c) {
      const auto product = static_cast<float>(acc[c]);
      const float scale_w = group.scale[static_cast<size_t>(c)];
      if (scales.groups == 1) {
        t[c] = Fma(product, scale_w, t[c]);
      } else if (!weight_groups_) {
        t[c] = Fma(product, scale_x, t[c]);
      } else {
        t[c] = Fma(product * scale_x, scale_w, t[c]);
      }
    }
  }
}

void EmulatedLinear::DequantizeGroups(const RowScales& scales, const float* sum,
                                      OutputView y) const {
  const std::vector<float>& scale_w = groups_.front().scale;
  for (int64_t r = 0; r < y.rows; ++r) {
    const float scale_x = scales.At(r, 0).scale;
    for (int64_t c = 0; c < n_; ++c) {
      const float t = sum[r * n_ + c];
      if (scales.groups == 1) {
        Store(y, r, c, Fma(t, scale_x, BiasOf(c)));
      } else if (!weight_groups_) {
        Store(y, r, c, Fma(t, scale_w[static_cast<size_t>(c)], BiasOf(c)));
      } else {
        Store(y, r, c, t + BiasOf(c));
      }
    }
  }
}

void EmulatedLinear::RunWeightOnly(MatView<const float> x, const MultiplyFloatFn& multiply,
                                   OutputView y, EmulatedScratch* scratch) const {
  W8A8_CHECK(x.cols == k_ && y.rows == x.rows && y.cols == n_);
  float* product = scratch->chunk_product.Reserve(x.rows * n_);
  float* acc = scratch->chunk_codes.Reserve(x.rows * n_);
  float* t = scratch->sum.Reserve(x.rows * n_);
  std::fill_n(t, x.rows * n_, 0.0f);
  for (const Group& group : groups_) {
    std::fill_n(acc, x.rows * n_, 0.0f);
    for (const Chunk& chunk : group.chunks) {
      multiply(x.ColRange(chunk.first, chunk.cols), *chunk.values, {product, x.rows, n_, n_});
      for (int64_t j = 0; j < x.rows * n_; ++j) acc[j] += product[j];
    }
    for (int64_t j = 0; j < x.rows * n_; ++j) {
      const float scale_w = group.scale[static_cast<size_t>(j % n_)];
      t[j] = weight_groups_ ? Fma(acc[j], scale_w, t[j]) : acc[j] * scale_w;
    }
  }
  for (int64_t j = 0; j < x.rows * n_; ++j) {
    Store(y, j / n_, j % n_, Fma(t[j], 1.0f, BiasOf(j % n_)));
  }
}

}  // namespace w8a8
