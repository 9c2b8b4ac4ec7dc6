#include "runtime/cpu/int8_linear.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Binary32 rows of a weight-only product at once: they pass through the second-level cache for
// every panel of the weights, which pass through it once for so many rows.
constexpr int64_t kFloatBlockBytes = 512 * 1024;
constexpr int64_t kLeastFloatRows = 24;

template <class T>
AlignedBuffer<T> PaddedCopy(const std::vector<T>& values, int64_t padded) {
  AlignedBuffer<T> copy(padded);
  std::fill(std::copy(values.begin(), values.end(), copy.data()), copy.data() + padded, T{});
  return copy;
}

// What the calling thread must do around products. At each of them, because nobody else knows on
// which threads they run; a product takes some 10 us at least.
class ThreadSetUp {
 public:
  explicit ThreadSetUp(const Int8Kernels& kernels) : kernels_(kernels) {
    if (kernels_.begin_worker != nullptr) kernels_.begin_worker();
  }
  ~ThreadSetUp() {
    if (kernels_.end_worker != nullptr) kernels_.end_worker();
  }
  ThreadSetUp(const ThreadSetUp&) = delete;
  ThreadSetUp& operator=(const ThreadSetUp&) = delete;

 private:
  const Int8Kernels& kernels_;
};

// Without the rows, which are each tile's.
QuantizeOutputsArgs ThroughOf(const ProductOutput& out) {
  QuantizeOutputsArgs through{};
  if (out.quantizer == nullptr) return through;
  W8A8_CHECK(out.y.type == OutputType::kHalf);
  const ActivationScale scale = out.quantizer->ScaleOf({});
  through.scale = scale.scale;
  through.inv_scale = scale.inv_scale;
  through.codes = out.codes.data;
  through.codes_stride = out.codes.stride;
  through.saturated = out.saturated;
  return through;
}

// `to` from row `first` on; `through` holds what it goes through then.
StoreArgs FromRow(StoreArgs to, int64_t first, QuantizeOutputsArgs* through) {
  const size_t bytes = to.type == OutputType::kFloat ? sizeof(float) : sizeof(Half);
  to.y = static_cast<std::byte*>(to.y) + static_cast<size_t>(first * to.y_stride) * bytes;
  if (to.acc != nullptr) to.acc += first * to.acc_stride;
  if (to.through == nullptr) return to;
  *through = *to.through;
  if (through->codes != nullptr) through->codes += first * through->codes_stride;
  to.through = through;
  return to;
}

// Row `r` of `x` as a weight-only product sees it, in `row`.
void OperandRow(const Int8Kernels& kernels, MatView<const Half> x, int64_t r,
                const InputTransform* transform, ProductScratch* scratch, std::span<float> row) {
  ToFloat(x.row_span(r), row);
  if (transform == nullptr) return;
  TransformValues(kernels, *transform, {scratch->factors.data(), row.size()}, row);
  const std::span<Half> rounded(scratch->rounded.data(), row.size());
  ToHalf(row, rounded);
  ToFloat(rounded, row);
}

// `row` [cols] in the groups' layout, zeros in the padding.
void Spread(std::span<const float> row, const GroupLayout& layout, float* spread) {
  const auto cols = static_cast<int64_t>(row.size());
  for (int64_t g = 0; g < layout.count; ++g) {
    const float* from = row.data() + g * layout.group;
    float* to = spread + g * layout.stride;
    std::fill(std::copy_n(from, layout.Inputs(g, cols), to), to + layout.Padded(g), 0.0f);
  }
}

}  // namespace

Int8Linear::Int8Linear(const QuantizedLinear& linear, int64_t group, const Int8Kernels& kernels)
    : kernels_(&kernels),
      n_(linear.weight.n),
      k_(linear.weight.k),
      padded_n_(RoundUp(n_, kernels.n_multiple)),
      layout_(LayoutOf(k_, group, kernels.k_step)),
      scale_groups_(linear.weight.groups() > 1 ? layout_.count : 1),
      row_code_sum_(linear.weight.code_sum),
      bias_(PaddedCopy(linear.bias, padded_n_)) {
  const WeightCodes& weight = linear.weight;
  W8A8_CHECK(static_cast<int64_t>(weight.code_sum.size()) == n_);  // Finish() was called
  W8A8_CHECK(weight.groups() == 1 || weight.group() % layout_.group == 0);
  weight_.Reserve(kernels.packed_bytes(n_, layout_.padded));
  if (layout_.count == 1 || layout_.padded == k_) {
    kernels.pack_weights(
        {.codes = weight.codes.data(), .n = n_, .k = k_, .packed = weight_.data()});
  } else {
    std::vector<int8_t> spread(static_cast<size_t>(n_ * layout_.padded));
    for (int64_t n = 0; n < n_; ++n) {
      for (int64_t k = 0; k < k_; ++k) {
        const int64_t at = k / layout_.group * layout_.stride + k % layout_.group;
        spread[static_cast<size_t>(n * layout_.padded + at)] =
            weight.row(n)[static_cast<size_t>(k)];
      }
    }
    kernels.pack_weights(
        {.codes = spread.data(), .n = n_, .k = layout_.padded, .packed = weight_.data()});
  }
  PackGroups(weight);
}

// The vectors by group and column.
void Int8Linear::PackGroups(const WeightCodes& weight) {
  scale_.Reserve(scale_groups_ * padded_n_);
  code_sum_.Reserve(layout_.count * padded_n_);
  if (!weight.zero_points.empty()) {
    zero_point_.Reserve(layout_.count * padded_n_);
    centred_sum_.Reserve(layout_.count * padded_n_);
  }
  for (int64_t g = 0; g < layout_.count; ++g) {
    const int64_t first = g * layout_.group;
    const int64_t inputs = layout_.Inputs(g, k_);
    const int64_t weight_group = weight.groups() > 1 ? first / weight.group() : 0;
    for (int64_t n = 0; n < n_; ++n) {
      const int64_t at = g * padded_n_ + n;
      const int8_t* codes = weight.codes.data() + n * k_ + first;
      int32_t sum = 0;
      for (int64_t k = 0; k < inputs; ++k) sum += codes[k];
      code_sum_[at] = layout_.count > 1 ? sum : weight.code_sum[static_cast<size_t>(n)];
      if (g < scale_groups_) scale_[at] = weight.ScaleOf(n, weight_group);
      if (weight.zero_points.empty()) continue;
      zero_point_[at] = weight.ZeroPointOf(n, weight_group);
      centred_sum_[at] = sum - static_cast<int32_t>(inputs) * zero_point_[at];
    }
  }
}

GroupedWeights Int8Linear::Weights() const {
  const bool zero_points = zero_point_.capacity() > 0;
  return {.n = n_,
          .k = layout_.padded,
          .groups = layout_.count,
          .group_stride = layout_.stride,
          .packed = weight_.data(),
          .scale = scale_.data(),
          .bias = bias_.data(),
          .code_sum = code_sum_.data(),
          .centred_sum = zero_points ? centred_sum_.data() : code_sum_.data(),
          .zero_point = zero_points ? zero_point_.data() : nullptr};
}

void Int8Linear::MultiplyRowRange(const CodeRows& x, int64_t first, int64_t count,
                                  MatView<Half> y) const {
  W8A8_CHECK(MultipliesRowsApart(x) && x.cols == k_ && x.layout.group == layout_.group);
  W8A8_CHECK(first + count <= x.rows && y.rows == count && y.cols == n_);
  const ThreadSetUp set_up(*kernels_);
  MultiplyRows(x, first, count, bias_.data(),
               {.type = OutputType::kHalf, .y = y.data, .y_stride = y.stride});
}

void Int8Linear::Multiply(const CodeRows& x, OutputView y, MatView<int32_t> acc) const {
  ProductScratch scratch;
  Multiply(x, {.y = y, .acc = acc}, &scratch);
}

void Int8Linear::Multiply(const CodeRows& x, const ProductOutput& out,
                          ProductScratch* scratch) const {
  const MatView<int32_t>& acc = out.acc;
  W8A8_CHECK(x.cols == k_ && x.layout.group == layout_.group);
  W8A8_CHECK(out.y.rows == x.rows && out.y.cols == n_);
  W8A8_CHECK(acc.data == nullptr ||
             (acc.rows == layout_.count * (x.rows + x.second) && acc.cols == n_));
  const QuantizeOutputsArgs through = ThroughOf(out);
  const StoreArgs to{.type = out.y.type,
                     .y = out.y.data,
                     .y_stride = out.y.stride,
                     .through = out.quantizer != nullptr ? &through : nullptr,
                     .acc = acc.data,
                     .acc_stride = acc.stride};
  const ThreadSetUp set_up(*kernels_);
  if (x.second > 0) return MultiplyTwice(x, to, scratch);
  if (plain() && !x.asymmetric()) return MultiplyRows(x, 0, x.rows, bias_.data(), to);
  const GroupedWeights weight = Weights();
  const bool inputs = x.scale_groups > 1;
  kernels_->gemm_groups({.m = x.rows,
                         .weight = &weight,
                         .scaled_by = !inputs             ? ScaledBy::kWeights
                                      : scale_groups_ > 1 ? ScaledBy::kBoth
                                                          : ScaledBy::kInputs,
                         .x_codes = x.codes.data(),
                         .x_stride = x.stride,
                         .scale_x = x.scale.data(),
                         .zero_point_x = x.asymmetric() ? x.zero_point.data() : nullptr,
                         .code_sum_x = x.code_sum.data(),
                         .to = to});
}

void Int8Linear::MultiplyRows(const CodeRows& x, int64_t first, int64_t count, const float* bias,
                              const StoreArgs& to) const {
  kernels_->gemm_s8({.m = count,
                     .n = n_,
                     .k = k_,
                     .x_codes = x.codes.data() + first * x.stride * kernels_->code_bytes,
                     .x_stride = x.stride,
                     .packed_weight = weight_.data(),
                     .scale_x = x.scale.data() + first,
                     .scale_w = scale_.data(),
                     .bias = bias,
                     .code_sum_w = code_sum_.data(),
                     .to = to});
}

// Image by image: the first row's product in binary32 is the bias of that of its second codes.
void Int8Linear::MultiplyTwice(const CodeRows& x, const StoreArgs& to,
                               ProductScratch* scratch) const {
  W8A8_CHECK(plain() && !x.asymmetric());
  const int64_t per_image = x.scheme.rows_per_image;
  float* first = scratch->values.Reserve(padded_n_);
  QuantizeOutputsArgs through;
  for (int64_t image = 0; image < x.second; ++image) {
    const int64_t row = image * per_image;
    StoreArgs to_first = FromRow(to, row, &through);
    to_first.type = OutputType::kFloat;
    to_first.y = first;
    to_first.through = nullptr;
    MultiplyRows(x, row, 1, bias_.data(), to_first);
    StoreArgs to_second = FromRow(to, row, &through);
    if (to.acc != nullptr) to_second.acc = to.acc + (x.rows + image) * to.acc_stride;
    MultiplyRows(x, x.rows + image, 1, first, to_second);
    if (per_image == 1) continue;
    MultiplyRows(x, row + 1, per_image - 1, bias_.data(), FromRow(to, row + 1, &through));
  }
}

void Int8Linear::MultiplyHalf(MatView<const Half> x, const InputTransform* transform,
                              const ProductOutput& out, ProductScratch* scratch) const {
  W8A8_CHECK(x.cols == k_ && out.y.rows == x.rows && out.y.cols == n_);
  W8A8_CHECK(out.acc.data == nullptr);
  const auto cols = static_cast<size_t>(k_);
  const int64_t stride = RoundUp(layout_.padded, 16);
  const int64_t fitting = kFloatBlockBytes / (stride * static_cast<int64_t>(sizeof(float)));
  const int64_t block = std::min(std::max(fitting, kLeastFloatRows), x.rows);
  float* values = scratch->values.Reserve(block * stride + k_);
  const std::span<float> row(values + block * stride, cols);
  scratch->rounded.Reserve(k_);
  if (transform != nullptr) RowFactors(*transform, {scratch->factors.Reserve(k_), cols});
  QuantizeOutputsArgs through = ThroughOf(out), of_block;
  const StoreArgs to{.type = out.y.type,
                     .y = out.y.data,
                     .y_stride = out.y.stride,
                     .through = out.quantizer != nullptr ? &through : nullptr};
  const GroupedWeights weight = Weights();
  const ThreadSetUp set_up(*kernels_);
  for (int64_t first = 0; first < x.rows; first += block) {
    const int64_t count = std::min(block, x.rows - first);
    for (int64_t r = 0; r < count; ++r) {
      OperandRow(*kernels_, x, first + r, transform, scratch, row);
      Spread(row, layout_, values + r * stride);
    }
    kernels_->gemm_w8({.m = count,
                       .weight = &weight,
                       .x = values,
                       .x_stride = stride,
                       .to = FromRow(to, first, &of_block)});
  }
}

}  // namespace w8a8
