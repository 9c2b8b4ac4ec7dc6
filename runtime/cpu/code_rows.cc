#include "runtime/cpu/code_rows.h"

#include <algorithm>
#include <array>
#include <span>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// An odd number of padding units (cache lines of codes) per row: rows a power of two apart would
// meet in the same sets of the first-level cache.
int64_t CodeStride(int64_t cols, int64_t multiple) {
  const int64_t units = (cols + multiple - 1) / multiple;
  return (units | 1) * multiple;
}

// What the set's quantize_rows knows.
bool IsPlain(const CodeRows& rows) {
  return rows.scheme.quantizer.symmetric && rows.scheme.transform == nullptr &&
         rows.layout.count == 1;
}

std::byte* CodesOf(const Int8Kernels& kernels, const CodeRows& rows, int64_t row, int64_t group) {
  return rows.codes.data() + (row * rows.stride + group * rows.layout.stride) * kernels.code_bytes;
}

// Row `r` of `x` as its quantizer sees it.
std::span<float> ValuesOf(const Int8Kernels& kernels, MatView<const Half> x, int64_t r,
                          CodeRows* rows) {
  const std::span<float> values(rows->values.data(), static_cast<size_t>(rows->cols));
  ToFloat(x.row_span(r), values);
  if (rows->scheme.transform != nullptr) {
    TransformValues(kernels, *rows->scheme.transform, {rows->factors.data(), values.size()},
                    values);
  }
  return values;
}

void Count(const Quantizer& quantizer, std::span<const float> values, const ActivationScale& scale,
           QuantizeCounts* counts) {
  for (const float x : values) {
    counts->nan += x != x ? 1 : 0;
    counts->inf += x == x && !IsFinite(x) ? 1 : 0;
    counts->saturated += quantizer.Saturates(x, scale) ? 1 : 0;
  }
}

// Group `g` of row `row`.
void EncodeGroup(const Int8Kernels& kernels, const Quantizer& quantizer,
                 std::span<const float> values, const ActivationScale& scale, int64_t row,
                 int64_t g, CodeRows* rows) {
  rows->code_sum[row * rows->layout.count + g] =
      kernels.encode({.values = values.data(),
                      .count = static_cast<int64_t>(values.size()),
                      .inv_scale = scale.inv_scale,
                      .zero_point = scale.zero_point,
                      .lowest = quantizer.lowest_code(),
                      .codes = CodesOf(kernels, *rows, row, g),
                      .padded = rows->layout.Padded(g)});
}

// One row by any quantizer: the groups that share a scale, and in each those of the product.
void QuantizeValues(const Int8Kernels& kernels, const Quantizer& quantizer,
                    std::span<const float> values, int64_t row, CodeRows* rows,
                    QuantizeCounts* counts) {
  const GroupLayout& layout = rows->layout;
  const auto group = static_cast<size_t>(quantizer.GroupOf(rows->cols));
  int64_t g = 0;
  for (size_t first = 0; first < values.size(); first += group) {
    std::span<const float> some = values.subspan(first, std::min(group, values.size() - first));
    FiniteRange range;
    if (!quantizer.is_static()) {
      kernels.finite_range(some.data(), static_cast<int64_t>(some.size()), &range.low, &range.high);
    }
    const ActivationScale scale = quantizer.ScaleOf(range);
    if (counts != nullptr) Count(quantizer, some, scale, counts);
    for (; !some.empty(); ++g) {
      const auto size = std::min(some.size(), static_cast<size_t>(layout.group));
      EncodeGroup(kernels, quantizer, some.first(size), scale, row, g, rows);
      if (rows->scale_groups > 1) rows->scale[row * rows->scale_groups + g] = scale.scale;
      some = some.subspan(size);
    }
    if (rows->scale_groups == 1) rows->scale[row] = scale.scale;
    if (!quantizer.symmetric) rows->zero_point[row] = scale.zero_point;
  }
}

// What the codes of row `row` left of it, coded per-token.
void QuantizeRest(const Int8Kernels& kernels, std::span<float> values, int64_t row,
                  CodeRows* rows) {
  const float scale = rows->scale[row];
  std::array<int8_t, 256> codes{};
  for (size_t first = 0; first < values.size(); first += codes.size()) {
    const auto some = values.subspan(first, std::min(codes.size(), values.size() - first));
    const auto count = static_cast<int64_t>(some.size());
    kernels.unpack_codes({.codes = CodesOf(kernels, *rows, row, 0) +
                                   static_cast<int64_t>(first) * kernels.code_bytes,
                          .codes_stride = rows->stride,
                          .rows = 1,
                          .cols = count,
                          .unpacked = codes.data(),
                          .unpacked_stride = count});
    for (size_t k = 0; k < some.size(); ++k) {
      some[k] = IsFinite(some[k]) ? some[k] - static_cast<float>(codes[k]) * scale : 0.0f;
    }
  }
  const int64_t second = rows->rows + row / rows->scheme.rows_per_image;
  QuantizeValues(kernels, Quantizer(), values, second, rows, nullptr);
}

void QuantizePlain(const Int8Kernels& kernels, MatView<const Half> x, int64_t first_row,
                   CodeRows* rows, QuantizeCounts* counts) {
  const Quantizer& quantizer = rows->scheme.quantizer;
  kernels.quantize_rows({.x = x.data,
                         .x_stride = x.stride,
                         .rows = x.rows,
                         .cols = x.cols,
                         .clip_range = quantizer.clip_range,
                         .static_scale = quantizer.is_static() ? &quantizer.scale : nullptr,
                         .codes = CodesOf(kernels, *rows, first_row, 0),
                         .codes_stride = rows->stride,
                         .scale = rows->scale.data() + first_row,
                         .code_sum = rows->code_sum.data() + first_row,
                         .counts = counts});
}

}  // namespace

GroupLayout LayoutOf(int64_t cols, int64_t group, int64_t k_step) {
  const int64_t inputs = group > 0 && group < cols ? group : cols;
  const int64_t count = (cols + inputs - 1) / inputs;
  const int64_t stride = RoundUp(inputs, k_step);
  const int64_t last = cols - (count - 1) * inputs;
  return {inputs, count, stride, (count - 1) * stride + RoundUp(last, k_step)};
}

void TransformValues(const Int8Kernels& kernels, const InputTransform& transform,
                     std::span<const float> factors, std::span<float> row) {
  const auto cols = static_cast<int64_t>(row.size());
  TransformRowArgs args{
      .row = row.data(), .cols = cols, .factors = factors.data(), .block = 0, .mix = 0, .norm = 1};
  if (transform.rotation) {
    args.block = transform.rotation->block;
    args.mix = MixFactor(*transform.rotation, cols);
    args.norm = RotationNorm(*transform.rotation);
  }
  kernels.transform_row(args);
}

void PrepareCodes(const Int8Kernels& kernels, int64_t rows, int64_t cols, const CodesScheme& scheme,
                  CodeRows* codes) {
  W8A8_CHECK(scheme.rows_per_image == 0 || rows % scheme.rows_per_image == 0);
  codes->scheme = scheme;
  codes->layout = LayoutOf(cols, scheme.group, kernels.k_step);
  codes->rows = rows;
  codes->second = scheme.rows_per_image > 0 ? rows / scheme.rows_per_image : 0;
  codes->cols = cols;
  codes->stride = CodeStride(codes->layout.padded, kernels.k_multiple);
  codes->scale_groups = scheme.quantizer.GroupsOf(cols) > 1 ? codes->layout.count : 1;
  const int64_t all = rows + codes->second;
  codes->codes.Reserve(all * codes->stride * kernels.code_bytes);
  codes->scale.Reserve(all * codes->scale_groups);
  codes->code_sum.Reserve(all * codes->layout.count);
  if (codes->asymmetric()) codes->zero_point.Reserve(rows);
  if (!IsPlain(*codes) || codes->second > 0) codes->values.Reserve(cols);
  if (scheme.transform == nullptr) return;
  RowFactors(*scheme.transform, {codes->factors.Reserve(cols), static_cast<size_t>(cols)});
}

bool QuantizesRowsApart(const CodeRows& rows) { return IsPlain(rows) && rows.second == 0; }

void QuantizeRowsAt(const Int8Kernels& kernels, MatView<const Half> x, int64_t first_row,
                    CodeRows* rows, QuantizeCounts* counts) {
  W8A8_CHECK(x.cols == rows->cols && first_row + x.rows <= rows->rows);
  const bool plain = IsPlain(*rows);
  if (plain) QuantizePlain(kernels, x, first_row, rows, counts);
  if (plain && rows->second == 0) return;
  const int64_t per_image = rows->scheme.rows_per_image;
  for (int64_t r = 0; r < x.rows; ++r) {
    const int64_t row = first_row + r;
    const bool twice = per_image > 0 && row % per_image == 0;
    if (plain && !twice) continue;
    const std::span<float> values = ValuesOf(kernels, x, r, rows);
    if (!plain) QuantizeValues(kernels, rows->scheme.quantizer, values, row, rows, counts);
    if (twice) QuantizeRest(kernels, values, row, rows);
  }
}

void QuantizeRows(const Int8Kernels& kernels, MatView<const Half> x, const CodesScheme& scheme,
                  CodeRows* rows, QuantizeCounts* counts) {
  PrepareCodes(kernels, x.rows, x.cols, scheme, rows);
  QuantizeRowsAt(kernels, x, 0, rows, counts);
}

void UnpackCodes(const Int8Kernels& kernels, const CodeRows& rows, MatView<int8_t> unpacked) {
  W8A8_CHECK(unpacked.rows == rows.rows + rows.second && unpacked.cols == rows.cols);
  for (int64_t g = 0; g < rows.layout.count; ++g) {
    kernels.unpack_codes({.codes = CodesOf(kernels, rows, 0, g),
                          .codes_stride = rows.stride,
                          .rows = unpacked.rows,
                          .cols = rows.layout.Inputs(g, rows.cols),
                          .unpacked = unpacked.data + g * rows.layout.group,
                          .unpacked_stride = unpacked.stride});
  }
}

void RealRows(const Int8Kernels& kernels, const CodeRows& rows, AlignedBuffer<int8_t>* unpacked,
              MatView<float> values) {
  W8A8_CHECK(rows.second == 0 && values.rows == rows.rows && values.cols == rows.cols);
  int8_t* codes = unpacked->Reserve(rows.rows * rows.cols);
  UnpackCodes(kernels, rows, {codes, rows.rows, rows.cols, rows.cols});
  const int64_t scale_cols = rows.scale_groups > 1 ? rows.layout.group : rows.cols;
  for (int64_t r = 0; r < rows.rows; ++r) {
    const int32_t zero_point = rows.asymmetric() ? rows.zero_point[r] : 0;
    for (int64_t g = 0; g < rows.scale_groups; ++g) {
      const float scale = rows.scale[r * rows.scale_groups + g];
      const int64_t end = std::min(rows.cols, (g + 1) * scale_cols);
      for (int64_t c = g * scale_cols; c < end; ++c) {
        values.row(r)[c] = static_cast<float>(codes[r * rows.cols + c] - zero_point) * scale;
      }
    }
  }
}

RowScales ScalesOf(const CodeRows& rows) {
  const Quantizer& quantizer = rows.scheme.quantizer;
  RowScales scales{.values = {},
                   .shared = quantizer.is_static(),
                   .groups = quantizer.GroupsOf(rows.cols),
                   .group_size = quantizer.GroupOf(rows.cols)};
  const int64_t count = scales.shared ? std::min<int64_t>(rows.rows, 1) : rows.rows;
  const int64_t repeated = scales.group_size / rows.layout.group;  // where inputs are in groups
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t g = 0; g < scales.groups; ++g) {
      scales.values.push_back(rows.scale[r * rows.scale_groups + g * repeated]);
    }
    if (rows.asymmetric()) scales.zero_points.push_back(rows.zero_point[r]);
  }
  for (int64_t i = 0; i < rows.second; ++i) {
    scales.second_values.push_back(rows.scale[rows.rows + i]);
  }
  return scales;
}

}  // namespace w8a8
