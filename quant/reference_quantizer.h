// The activation quantizer as numerics.md states it, one element after the other: what `emulated`
// and the `ideal` fake flavour use, and what every kernel set is compared with.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/quantize_counts.h"
#include "quant/quantizer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// Throws Error naming `site` unless the granularity is per-token or per-tensor, the zero point 0,
// the clip range > 0 or infinity, and a per-tensor scale and its reciprocal finite and > 0.
void CheckQuantizer(const Quantizer& quantizer, std::string_view site);

// One row to `codes` [row.size()]; returns its scale. `counts` is added to; nullptr: not wanted.
// The quantizer was checked.
ActivationScale QuantizeRowReference(std::span<const float> row, const Quantizer& quantizer,
                                     int8_t* codes, QuantizeCounts* counts);
// The same for FP16 rows: codes [rows, cols] row-major without gaps; scale [rows] (a static scale
// is repeated).
void QuantizeRowsReference(MatView<const Half> x, const Quantizer& quantizer, int8_t* codes,
                           float* scale, QuantizeCounts* counts);

}  // namespace w8a8
