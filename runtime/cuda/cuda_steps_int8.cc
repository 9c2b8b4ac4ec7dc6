// The steps of CudaArena that quantize rows and multiply codes.
#include <algorithm>
#include <memory>
#include <utility>

#include "quant/transform.h"
#include "runtime/base/error.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/product_kernels.h"
#include "runtime/cuda/quantize_kernels.h"
#include "runtime/cuda/row_kernels.h"

namespace w8a8 {
namespace {

constexpr int64_t kCounts = 3;  // NaN, infinities, saturated

bool IsPlain(const InputSteps& input, int64_t groups) {
  return input.quantizer->symmetric && input.transform == nullptr && groups == 1 &&
         !input.first_row_twice && input.quantizer->granularity != Granularity::kGroup;
}

Matrix<float> FloatsOf(Queue queue, const DeviceMemory<float>& memory, int64_t rows, int64_t cols) {
  Matrix<float> values(rows, cols);
  CopyToHost(queue, values.view().data, memory.bytes(),
             static_cast<size_t>(rows * cols) * sizeof(float));
  return values;
}

// Rows of codes without their padding.
Matrix<int8_t> CodesOf(Queue queue, const DeviceMemory<int8_t>& memory, int64_t rows,
                       int64_t cols) {
  const int64_t stride = PaddedCodes(cols);
  const std::vector<int8_t> padded = memory.ToHost(queue, rows * stride);
  Matrix<int8_t> codes(rows, cols);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(padded.data() + r * stride, cols, codes.view().row(r));
  }
  return codes;
}

}  // namespace

CudaArena::Codes* CudaArena::BeginCodes(const std::optional<CodesOutput>& to, SlotId from) {
  if (!to) return nullptr;
  W8A8_CHECK(slot(to->slot).storage == SlotStorage::kCodes);
  Codes& codes = memory_[static_cast<size_t>(to->slot)].codes;
  ReserveCodes(to->input, to->group, from, &codes);
  return &codes;
}

void CudaArena::ReserveCodes(const InputSteps& input, int64_t group, SlotId from, Codes* codes) {
  codes->input = input;
  codes->from = from;
  codes->rows = rows(from);
  codes->second = input.first_row_twice ? inputs().images : 0;
  codes->cols = slot(from).cols;
  codes->group = group > 0 && group < codes->cols ? group : codes->cols;
  codes->scale_groups = input.quantizer->GroupsOf(codes->cols) > 1 ? codes->groups() : 1;
  const int64_t all = codes->rows + codes->second;
  codes->codes.Reserve(all * codes->stride());
  codes->scale.Reserve(all * codes->scale_groups);
  codes->code_sum.Reserve(all * codes->groups());
  if (codes->asymmetric()) codes->zero_point.Reserve(codes->rows);
}

PlainCodes CudaArena::FusedCodes(const Codes* codes) const {
  if (codes == nullptr || !IsPlain(codes->input, codes->groups())) return {};
  const Quantizer& quantizer = *codes->input.quantizer;
  return {.clip_range = quantizer.clip_range,
          .static_scale = quantizer.is_static() ? quantizer.scale : 0.0f,
          .codes = codes->codes.data(),
          .stride = codes->stride(),
          .scale = codes->scale.data(),
          .code_sum = codes->code_sum.data()};
}

RowTransform CudaArena::TransformOn(const TransformPtr& transform, int64_t cols) {
  RowTransform on_device;
  if (transform == nullptr) return on_device;
  on_device.factors = vectors_.FactorsOf(transform, cols);
  if (!transform->rotation) return on_device;
  on_device.block = transform->rotation->block;
  on_device.mix = MixFactor(*transform->rotation, cols);
  on_device.norm = RotationNorm(*transform->rotation);
  return on_device;
}

void CudaArena::Quantize(Codes* codes, uint64_t* counts, float* values) {
  const InputSteps& input = codes->input;
  const MatView<const Half> x = half(codes->from);
  QuantizeArgs args{.x = x,
                    .quantizer = *input.quantizer,
                    .transform = TransformOn(input.transform, x.cols),
                    .group = codes->group,
                    .rows_per_image = input.first_row_twice ? slot(codes->from).rows : 0,
                    .codes = codes->codes.data(),
                    .codes_stride = codes->stride(),
                    .scale = codes->scale.data(),
                    .zero_point = codes->zero_point.data(),
                    .code_sum = codes->code_sum.data(),
                    .counts = counts};
  if (values != nullptr) args.values = {values, x.rows, x.cols, x.cols};
  LaunchQuantize(queue(), args);
}

MatView<const Half> CudaArena::RoundedTransform(const TransformPtr& transform,
                                                MatView<const Half> x, LinearTrace* trace) {
  const MatView<Half> rounded{rows_.Reserve(x.rows * x.cols), x.rows, x.cols, x.cols};
  TransformRowsArgs args{
      .x = x, .transform = TransformOn(transform, x.cols), .rounded = rounded, .values = {}};
  if (trace != nullptr) args.values = {values_.Reserve(x.rows * x.cols), x.rows, x.cols, x.cols};
  LaunchTransform(queue(), args);
  if (trace != nullptr) trace->transformed = FloatsOf(queue(), values_, x.rows, x.cols);
  return rounded;
}

void CudaArena::QuantizeUnlessFused(Codes* codes) {
  if (codes == nullptr || IsPlain(codes->input, codes->groups())) return;
  Quantize(codes, nullptr, nullptr);
}

void CudaArena::Do(const QuantizeStep& step) {
  Quantize(BeginCodes(step.codes, step.in), nullptr, nullptr);
}

// The rows that the codes are of still stand in their slot: what a trace wants beside the codes is
// made from them anew.
std::shared_ptr<LinearTrace> CudaArena::TraceOf(const Codes& codes) {
  auto trace = std::make_shared<LinearTrace>();
  trace->input_scale = ScalesOf(codes);
  trace->codes = CodesOf(queue(), codes.codes, codes.rows + codes.second, codes.cols);
  ReserveCodes(codes.input, codes.group, codes.from, &again_);
  ClearOnDevice(queue(), reinterpret_cast<std::byte*>(counts_.Reserve(kCounts)),
                kCounts * sizeof(uint64_t));
  const bool transformed = codes.input.transform != nullptr;
  float* values = transformed ? values_.Reserve(codes.rows * codes.cols) : nullptr;
  Quantize(&again_, counts_.data(), values);
  const std::vector<uint64_t> counts = counts_.ToHost(queue(), kCounts);
  trace->counts = {.nan = counts[0], .inf = counts[1], .saturated = counts[2]};
  if (transformed) trace->transformed = FloatsOf(queue(), values_, codes.rows, codes.cols);
  return trace;
}

// Scales and zero points as they belong to rows and groups of the quantizer.
RowScales CudaArena::ScalesOf(const Codes& codes) const {
  const Quantizer& quantizer = *codes.input.quantizer;
  RowScales scales{.values = {},
                   .shared = quantizer.is_static(),
                   .groups = quantizer.GroupsOf(codes.cols),
                   .group_size = quantizer.GroupOf(codes.cols)};
  const int64_t count = scales.shared ? std::min<int64_t>(codes.rows, 1) : codes.rows;
  const std::vector<float> all =
      codes.scale.ToHost(queue(), (codes.rows + codes.second) * codes.scale_groups);
  const int64_t repeated = scales.group_size / codes.group;  // where inputs are in groups
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t g = 0; g < scales.groups; ++g) {
      scales.values.push_back(all[static_cast<size_t>(r * codes.scale_groups + g * repeated)]);
    }
  }
  if (codes.asymmetric()) scales.zero_points = codes.zero_point.ToHost(queue(), count);
  scales.second_values.assign(all.begin() + codes.rows * codes.scale_groups, all.end());
  return scales;
}

ProductArgs CudaArena::ArgsOf(const CudaInt8& linear, const Codes& x, MatView<Half> y,
                              int32_t* acc) const {
  W8A8_CHECK(x.cols == linear.k() && x.group == linear.group());
  return {.m = x.rows,
          .n = linear.n(),
          .k = linear.k(),
          .x = x.codes.data(),
          .x_stride = x.stride(),
          .weight = linear.codes(),
          .weight_stride = linear.stride(),
          .scale_x = x.scale.data(),
          .scale_w = linear.scale(),
          .bias = linear.bias(),
          .y = y.data,
          .y_stride = y.stride,
          .acc = acc};
}

void CudaArena::Multiply(const CudaInt8& linear, const Codes& x, MatView<Half> y, int32_t* acc) {
  W8A8_CHECK(x.rows == y.rows && y.cols == linear.n());
  const ProductArgs product = ArgsOf(linear, x, y, acc);
  if (linear.plain() && !x.asymmetric()) {
    MultiplyPlain(product);
    if (x.second == 0) return;
    return LaunchTwiceProduct(
        queue(), {.product = product, .images = x.second, .rows_per_image = x.rows / x.second});
  }
  W8A8_CHECK(x.second == 0);
  if (products_ != nullptr) {
    products_->counts().Add(linear.groups() > 1 ? ProductKind::kGroups : ProductKind::kZeroPoints);
  }
  const bool inputs = x.scale_groups > 1;
  const GroupScales weights = linear.scale_groups() > 1 ? GroupScales::kBoth : GroupScales::kInputs;
  LaunchGroupedProduct(queue(), {.product = product,
                                 .group = linear.group(),
                                 .scales = inputs ? weights : GroupScales::kWeights,
                                 .scale_groups_w = linear.scale_groups(),
                                 .zero_point_x = x.asymmetric() ? x.zero_point.data() : nullptr,
                                 .zero_point_w = linear.zero_points(),
                                 .acc_rows = x.rows});
}

// Where a set's product keeps its sums to itself, wanted ones are made by the kernel for every GPU,
// and what the set made of its own stays.
void CudaArena::MultiplyPlain(ProductArgs args) {
  if (products_ != nullptr) {
    ProductCounts& counts = products_->counts();
    if (products_->Product(queue(), args)) return counts.Add(ProductKind::kInt8);
    ProductArgs without_sums = args;
    without_sums.acc = nullptr;
    const bool takes = args.acc != nullptr && products_->Product(queue(), without_sums);
    counts.Add(takes ? ProductKind::kSums : ProductKind::kInt8Sizes);
    if (takes) {
      counts.Add(ProductKind::kInt8);
      args.y = rows_.Reserve(args.m * args.n);
      args.y_stride = args.n;
    }
  }
  LaunchProduct(queue(), args);
}

void CudaArena::QuantizeOutput(const std::optional<Quantizer>& output, MatView<Half> y,
                               LinearTrace* trace) {
  if (!output) return;
  ThroughCodesArgs args{.y = y, .scale = output->scale};
  if (trace == nullptr) return LaunchThroughCodes(queue(), args);
  args.codes_stride = PaddedCodes(y.cols);
  args.codes = output_codes_.Reserve(y.rows * args.codes_stride);
  args.saturated = counts_.Reserve(kCounts);
  ClearOnDevice(queue(), counts_.bytes(), sizeof(uint64_t));
  LaunchThroughCodes(queue(), args);
  trace->output_codes = CodesOf(queue(), output_codes_, y.rows, y.cols);
  trace->output_saturated = counts_.ToHost(queue(), 1)[0];
}

StepResult CudaArena::Do(const GemmS8Step& step, const Wanted& wanted) {
  const CudaInt8& linear = PackedAs<CudaInt8>(*step.weight);
  const Codes& x = memory_[static_cast<size_t>(step.codes)].codes;
  const MatView<Half> y = half(step.out);
  if (!wanted.trace) {
    Multiply(linear, x, y, nullptr);
    QuantizeOutput(step.output, y, nullptr);
    return {};
  }
  const std::shared_ptr<LinearTrace> trace = TraceOf(x);
  const std::span<const int32_t> sums = linear.weight_code_sum();
  trace->weight_code_sum.assign(sums.begin(), sums.end());
  const int64_t acc_rows = linear.groups() * (x.rows + x.second);
  Multiply(linear, x, y, acc_.Reserve(acc_rows * y.cols));
  trace->acc = Matrix<int32_t>(acc_rows, y.cols);
  CopyToHost(queue(), trace->acc.view().data, acc_.bytes(),
             static_cast<size_t>(acc_rows * y.cols) * sizeof(int32_t));
  QuantizeOutput(step.output, y, trace.get());
  return {.trace = trace};
}

StepResult CudaArena::Do(const GemmW8Step& step, const Wanted& wanted) {
  const CudaInt8& linear = PackedAs<CudaInt8>(*step.weight);
  MatView<const Half> x = half(step.in);
  std::shared_ptr<LinearTrace> trace;
  if (wanted.trace) {
    trace = std::make_shared<LinearTrace>();
    const std::span<const int32_t> sums = linear.weight_code_sum();
    trace->weight_code_sum.assign(sums.begin(), sums.end());
  }
  if (step.transform != nullptr) x = RoundedTransform(step.transform, x, trace.get());
  const MatView<Half> y = half(step.out);
  if (products_ != nullptr) products_->counts().Add(ProductKind::kWeightOnly);
  LaunchWeightOnlyProduct(queue(), {.m = x.rows,
                                    .n = linear.n(),
                                    .k = linear.k(),
                                    .x = x.data,
                                    .x_stride = x.stride,
                                    .weight = linear.codes(),
                                    .weight_stride = linear.stride(),
                                    .group = linear.group(),
                                    .scale_groups_w = linear.scale_groups(),
                                    .scale_w = linear.scale(),
                                    .zero_point_w = linear.zero_points(),
                                    .bias = linear.bias(),
                                    .y = y.data,
                                    .y_stride = y.stride});
  QuantizeOutput(step.output, y, trace.get());
  return {.trace = trace};
}

}  // namespace w8a8
