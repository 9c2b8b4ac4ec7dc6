// The activation quantizer as numerics.md states it, one element after the other: what `emulated`
// and the `ideal` fake flavour use, and what every kernel set is compared with.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quant/quantize_counts.h"
#include "quant/quantizer.h"
#include "quant/row_scales.h"
#include "quant/transform.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// Throws Error naming `site` unless the quantizer can be of an input: per-token, per-tensor or
// per-group (symmetric, group size >= 1); the clip range > 0 or infinity; a per-tensor scale and
// its reciprocal finite and > 0, a zero point only with an asymmetric one and in [-128, 127].
void CheckQuantizer(const Quantizer& quantizer, std::string_view site);
// The same of an output: static, symmetric, without clip, 127 * scale at most FP16's 65,504.
void CheckOutputQuantizer(const Quantizer& quantizer, std::string_view site);

FiniteRange RangeOf(std::span<const float> values);
// The largest finite magnitude, 0 where there is none.
float AmaxOf(MatView<const Half> rows);

// One row to `codes` [row.size()] and the scale of each of its groups (quantizer.GroupsOf).
// `counts` is added to; nullptr: not wanted. The quantizer was checked.
void QuantizeRowReference(std::span<const float> row, const Quantizer& quantizer, int8_t* codes,
                          ActivationScale* scales, QuantizeCounts* counts);

// What the rows of a matrix were quantized to.
struct ReferenceRows {
  std::vector<int8_t> codes;  // [rows, cols]; with first_row_twice [rows + images, cols]
  RowScales scales;
  std::vector<float> values;  // [rows, cols]: what the quantizer saw
  QuantizeCounts counts;
};

// How rows become codes, all of a plan that is about the input. The parts were checked.
struct InputScheme {
  Quantizer quantizer;
  InputTransform transform = {};  // empty: v = x
  // Rows of each image where its first one is coded twice, per-token without clip, the rest of
  // the first codes; 0: none is. Second codes follow all rows, one row an image.
  int64_t rows_per_image = 0;
};
ReferenceRows QuantizeRowsReference(MatView<const Half> x, const InputScheme& scheme);
// The same into `rows`, whose memory is used again: new pages at each call took as long as a tenth
// of a fake arm.
void QuantizeRowsReference(MatView<const Half> x, const InputScheme& scheme, ReferenceRows* rows);

// What the codes stand for, in binary32: scale * (code - zero point), and where a row was coded
// twice the sum of its two values. `values` is [rows, cols].
void RealValuesOf(const ReferenceRows& rows, MatView<float> values);

// v of each row, in binary32; equal shapes. A layer whose input is not quantized takes v rounded to
// FP16 (x as it is, where the transform is empty).
void TransformRows(MatView<const Half> x, const InputTransform& transform, MatView<float> values);

// Output quantization, in place: each FP16 output y becomes fp16(float(q) * scale), q its code by
// the static quantizer, and every zero +0 (a negative code of a tiny scale too). `codes` is of y's
// shape, or empty where nobody wants q. Returns how many were saturated. The quantizer was checked.
uint64_t QuantizeOutputs(const Quantizer& output, MatView<Half> y, MatView<int8_t> codes = {});

}  // namespace w8a8
