// Rows as codes in one kernel set's storage, for every scheme of numerics.md section 6: what a
// QuantizeStep leaves and an Int8Linear multiplies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/quantize_counts.h"
#include "quant/quantizer.h"
#include "quant/row_scales.h"
#include "quant/transform.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/int8_kernels.h"

namespace w8a8 {

// How rows become codes. The parts were checked (CheckSitePlan).
struct CodesScheme {
  Quantizer quantizer = {};
  const InputTransform* transform = nullptr;  // outlives the scheme; nullptr: v = x
  int64_t group = 0;           // inputs of a product's accumulator (ProductGroup); 0: all
  int64_t rows_per_image = 0;  // > 0: the first row of each image is coded twice
};

// Where the groups of a row lie: one after the other, each padded to the set's k_step.
struct GroupLayout {
  int64_t group = 0;   // inputs of a group; the last one may have fewer
  int64_t count = 0;   // groups of a row
  int64_t stride = 0;  // elements from one group to the next
  int64_t padded = 0;  // elements of all groups

  int64_t Inputs(int64_t g, int64_t cols) const { return g + 1 < count ? group : cols - g * group; }
  int64_t Padded(int64_t g) const { return g + 1 < count ? stride : padded - g * stride; }
};
GroupLayout LayoutOf(int64_t cols, int64_t group, int64_t k_step);

// Quantized rows and the scratch of one worker. Grows and never shrinks, so nothing is allocated
// once the largest shape was seen.
struct CodeRows {
  CodesScheme scheme;
  GroupLayout layout;
  int64_t rows = 0;
  int64_t second = 0;  // second codes of each image's first row: behind the codes of all rows
  int64_t cols = 0;
  int64_t stride = 0;              // elements from one row's codes to the next
  int64_t scale_groups = 1;        // scales of a row: 1, or layout.count where inputs are in groups
  AlignedBuffer<std::byte> codes;  // [rows + second, stride]
  AlignedBuffer<float> scale;      // [rows + second, scale_groups]; a static scale is repeated
  AlignedBuffer<int32_t> zero_point;     // [rows]; asymmetric inputs only
  AlignedBuffer<int32_t> code_sum;       // [rows + second, layout.count]
  AlignedBuffer<float> values, factors;  // [cols]: one row as the quantizer sees it; RowFactors()

  bool asymmetric() const { return !scheme.quantizer.symmetric; }
};

// x [k] to v [k] in place, with RowFactors() of the transform: TransformRow() on a kernel set, any
// NaN for any NaN.
void TransformValues(const Int8Kernels& kernels, const InputTransform& transform,
                     std::span<const float> factors, std::span<float> row);

// Makes room for `rows` rows of `cols` codes, to be filled by QuantizeRowsAt().
void PrepareCodes(const Int8Kernels& kernels, int64_t rows, int64_t cols, const CodesScheme& scheme,
                  CodeRows* codes);
// True if several threads may call QuantizeRowsAt() for rows of their own: no quantizer that has
// scratch of a row.
bool QuantizesRowsApart(const CodeRows& rows);
// Quantizes `x` into the rows from `first_row` on, and the second codes of the first rows of images
// among them. `counts` are added to and cost a pass; nullptr: not wanted.
void QuantizeRowsAt(const Int8Kernels& kernels, MatView<const Half> x, int64_t first_row,
                    CodeRows* rows, QuantizeCounts* counts = nullptr);
// Prepares `rows` and quantizes all of `x`.
void QuantizeRows(const Int8Kernels& kernels, MatView<const Half> x, const CodesScheme& scheme,
                  CodeRows* rows, QuantizeCounts* counts = nullptr);

// The codes as int8 [rows + second, cols].
void UnpackCodes(const Int8Kernels& kernels, const CodeRows& rows, MatView<int8_t> unpacked);
// float(code - zero point) * scale of every code: what `fake` multiplies. No second codes.
void RealRows(const Int8Kernels& kernels, const CodeRows& rows, AlignedBuffer<int8_t>* unpacked,
              MatView<float> values);
// Scales and zero points as they belong to rows and groups of the quantizer.
RowScales ScalesOf(const CodeRows& rows);

}  // namespace w8a8
