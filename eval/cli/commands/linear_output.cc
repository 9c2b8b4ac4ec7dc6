#include "eval/cli/commands/linear_output.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {
namespace {

// What is written, in the shapes of the file; tensors without values are left out.
class Tensors {
 public:
  template <class T>
  void Add(const char* name, Dtype dtype, std::vector<int64_t> shape, std::span<const T> values) {
    W8A8_CHECK(std::ranges::find(kLinearTensors, name) != kLinearTensors.end());
    if (!values.empty()) writer_.Add(name, dtype, std::move(shape), values);
  }
  template <class T>
  void Add(const char* name, Dtype dtype, std::vector<int64_t> shape,
           const std::vector<T>& values) {
    Add(name, dtype, std::move(shape), std::span(values));
  }
  template <class T>
  void Add(const char* name, Dtype dtype, std::vector<int64_t> shape, const Matrix<T>& values) {
    const MatView<T> view = values.view();
    Add(name, dtype, std::move(shape),
        std::span<const T>(view.data, static_cast<size_t>(view.rows * view.cols)));
  }
  void Write(const std::string& path) const { writer_.Write(path); }

 private:
  SafetensorsWriter writer_;
};

std::vector<int32_t> RowSums(MatView<const int8_t> codes) {
  std::vector<int32_t> sums;
  for (int64_t r = 0; r < codes.rows; ++r) {
    const std::span<const int8_t> row = codes.row_span(r);
    sums.push_back(std::accumulate(row.begin(), row.end(), int32_t{0}));
  }
  return sums;
}

// The scales of the rows, then those of the second codes.
std::vector<float> AllScales(const RowScales& scales) {
  std::vector<float> all = scales.values;
  all.insert(all.end(), scales.second_values.begin(), scales.second_values.end());
  return all;
}

// Kernel sets may leave different bits of a NaN; the files of sets that agree are equal.
std::vector<float> WithOneNan(MatView<const float> values) {
  std::vector<float> same(values.data, values.data + values.rows * values.cols);
  for (float& value : same) {
    if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
  }
  return same;
}
template <class T>  // Half or BFloat16
std::vector<T> WithOneNan(std::vector<T> values) {
  constexpr uint16_t kNan = 0x7fff;
  for (T& value : values) {
    if (std::isnan(ToFloat(value))) value.bits = kNan;
  }
  return values;
}

// The numbers as they are written, which live until the file is.
struct Numbers {
  std::vector<int32_t> code_sum;
  std::vector<float> input_scale;
  std::vector<uint64_t> counts;
  std::vector<float> transformed;
  std::vector<Half> halves;
  std::vector<BFloat16> brains;
};

void AddWeight(const WeightCodes& weight, Tensors& tensors) {
  tensors.Add("weight_codes", Dtype::kI8, {weight.n, weight.k}, weight.codes);
  std::vector<int64_t> shape = {static_cast<int64_t>(weight.scale.values.size())};
  if (weight.groups() > 1) shape = {weight.n, weight.groups()};
  tensors.Add("weight_scale", Dtype::kF32, shape, weight.scale.values);
}

void AddInput(const LinearInput& in, const LinearTrace& trace, Numbers& numbers, Tensors& tensors) {
  const MatView<int8_t> codes = trace.codes.view();
  if (codes.rows == 0) return;
  numbers.code_sum = RowSums(codes);
  numbers.input_scale = AllScales(trace.input_scale);
  tensors.Add("codes", Dtype::kI8, {codes.rows, codes.cols}, trace.codes);
  tensors.Add("code_sum", Dtype::kI32, {codes.rows}, numbers.code_sum);
  std::vector<int64_t> shape = {static_cast<int64_t>(numbers.input_scale.size())};
  if (trace.input_scale.groups > 1) shape = {in.m, trace.input_scale.groups};
  tensors.Add("input_scale", Dtype::kF32, shape, numbers.input_scale);
  const std::vector<int32_t>& zero_points = trace.input_scale.zero_points;
  tensors.Add("input_zero_point", Dtype::kI32, {static_cast<int64_t>(zero_points.size())},
              zero_points);
  const MatView<int32_t> acc = trace.acc.view();
  if (acc.rows > codes.rows) {
    tensors.Add("acc", Dtype::kI32, {acc.rows / codes.rows, codes.rows, acc.cols}, trace.acc);
  } else {
    tensors.Add("acc", Dtype::kI32, {acc.rows, acc.cols}, trace.acc);
  }
}

void AddTrace(const LinearInput& in, const LinearTrace& trace, Numbers& numbers, Tensors& tensors) {
  AddInput(in, trace, numbers, tensors);
  numbers.transformed = WithOneNan(trace.transformed.view());
  tensors.Add("transformed", Dtype::kF32, {in.m, in.layer.k}, numbers.transformed);
  tensors.Add("output_codes", Dtype::kI8, {in.m, in.layer.n}, trace.output_codes);
  if (!in.plan.input) return;
  numbers.counts = {trace.counts.nan, trace.counts.inf, trace.counts.saturated};
  tensors.Add("counts", Dtype::kU64, {3}, numbers.counts);
}

}  // namespace

void WriteLinearOutput(const LinearInput& in, const LinearOutput& out, const std::string& path) {
  Numbers numbers;
  Tensors tensors;
  if (out.weight) AddWeight(*out.weight, tensors);
  if (out.trace) AddTrace(in, *out.trace, numbers, tensors);
  numbers.halves = WithOneNan(out.halves);
  numbers.brains = WithOneNan(out.brains);
  tensors.Add("y", Dtype::kF16, {in.m, in.layer.n}, numbers.halves);
  tensors.Add("y", Dtype::kBF16, {in.m, in.layer.n}, numbers.brains);
  tensors.Write(path);
}

}  // namespace w8a8
