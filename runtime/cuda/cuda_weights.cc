#include "runtime/cuda/cuda_weights.h"

#include <algorithm>
#include <memory>

#include "runtime/base/error.h"

namespace w8a8 {

CudaFloats::CudaFloats(Queue queue, MatView<const float> weight, FloatOperands operands)
    : n_(weight.rows),
      k_(weight.cols),
      stride_(operands == FloatOperands::kHalf ? PaddedHalves(k_) : k_) {
  W8A8_CHECK(weight.stride == weight.cols);
  const std::span<const float> values(weight.data, static_cast<size_t>(n_ * k_));
  if (operands == FloatOperands::kAny) {
    floats_ = DeviceMemory<float>(queue, values);
    return;
  }
  std::vector<Half> half(static_cast<size_t>(n_ * stride()));
  for (int64_t n = 0; n < n_; ++n) {
    ToHalf(weight.row_span(n), {half.data() + n * stride(), static_cast<size_t>(k_)});
  }
  half_ = DeviceMemory<Half>(queue, half);
}

CudaInt8::CudaInt8(Queue queue, const QuantizedLinear& linear, int64_t group)
    : n_(linear.weight.n),
      k_(linear.weight.k),
      group_(group > 0 && group < k_ ? group : k_),
      scale_groups_(linear.weight.groups() > 1 ? groups() : 1),
      row_code_sum_(linear.weight.code_sum) {
  const WeightCodes& weight = linear.weight;
  W8A8_CHECK(weight.groups() == 1 || weight.group() % group_ == 0);
  std::vector<int8_t> codes(static_cast<size_t>(n_ * stride()));
  std::vector<float> scale;
  std::vector<int32_t> zero_points;
  for (int64_t n = 0; n < n_; ++n) {
    std::ranges::copy(weight.row(n), codes.begin() + n * stride());
  }
  for (int64_t g = 0; g < groups(); ++g) {
    const int64_t of_weight = weight.groups() > 1 ? g * group_ / weight.group() : 0;
    for (int64_t n = 0; n < n_; ++n) {
      if (g < scale_groups_) scale.push_back(weight.ScaleOf(n, of_weight));
      if (!weight.zero_points.empty()) zero_points.push_back(weight.ZeroPointOf(n, of_weight));
    }
  }
  codes_ = DeviceMemory<int8_t>(queue, codes);
  scale_ = DeviceMemory<float>(queue, scale);
  if (!linear.bias.empty()) bias_ = DeviceMemory<float>(queue, linear.bias);
  if (!zero_points.empty()) zero_point_ = DeviceMemory<int32_t>(queue, zero_points);
}

CudaEmulated::CudaEmulated(Queue queue, const QuantizedLinear& linear, int64_t group)
    : linear_(linear, group, [queue](MatView<const float> weight) {
        return std::make_shared<CudaFloats>(queue, weight, FloatOperands::kAny);
      }) {}

}  // namespace w8a8
