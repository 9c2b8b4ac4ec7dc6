// The activation quantizer as numerics.md states it, one element after the other: what `emulated`
// and the `ideal` fake flavour use, and what every kernel set is compared with.
#pragma once

#include <cstdint>
#include <string_view>

#include "quant/quantize_counts.h"
#include "quant/spec.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// Throws Error naming `site` unless the granularity is per-token or per-tensor, the clip range > 0
// or infinity, and a per-tensor scale and its reciprocal finite and > 0.
void CheckActivationSpec(const ActivationSpec& spec, std::string_view site);

// codes [rows, cols] row-major without gaps; scale [rows] (a static scale is repeated). `counts` is
// added to. The spec was checked.
void QuantizeRowsReference(MatView<const Half> x, const ActivationSpec& spec, int8_t* codes,
                           float* scale, QuantizeCounts* counts);

}  // namespace w8a8
