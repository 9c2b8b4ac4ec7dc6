#include "quant/reference_quantizer.h"

#include <algorithm>
#include <cmath>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

float FiniteAmax(std::span<const Half> row) {
  float amax = 0.0f;
  for (const Half h : row) {
    if (IsFinite(h)) amax = std::max(amax, Abs(ToFloat(h)));
  }
  return amax;
}

}  // namespace

void CheckQuantizer(const Quantizer& quantizer, std::string_view site) {
  if (quantizer.granularity != Granularity::kToken &&
      quantizer.granularity != Granularity::kTensor) {
    Fail("{}: an activation is quantized per-token or per-tensor, not per-channel or per-group.",
         site);
  }
  if (quantizer.zero_point != 0) {
    Fail("{}: the input's zero point is {}; this version has symmetric inputs only.", site,
         quantizer.zero_point);
  }
  if (!(quantizer.clip_range > 0.0f)) {
    Fail("{}: the clip range is {}; it must be > 0, or infinity for no clip.", site,
         quantizer.clip_range);
  }
  if (!quantizer.is_static()) return;
  const float inv_scale = 1.0f / quantizer.scale;
  if (!(quantizer.scale > 0.0f && inv_scale > 0.0f && std::isfinite(quantizer.scale) &&
        std::isfinite(inv_scale))) {
    Fail(
        "{}: the static input scale is {}; it and its reciprocal must be finite and > 0. "
        "Calibrate the site, or leave it in FP16.",
        site, quantizer.scale);
  }
}

void QuantizeRowsReference(MatView<const Half> x, const Quantizer& quantizer, int8_t* codes,
                           float* scale, QuantizeCounts* counts) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<const Half> row = x.row_span(r);
    const ActivationScale row_scale = quantizer.ScaleOfRow(FiniteAmax(row));
    scale[r] = row_scale.scale;
    for (const Half h : row) {
      const float value = ToFloat(h);
      *codes++ = quantizer.CodeOf(value, row_scale);
      counts->nan += IsNan(h) ? 1 : 0;
      counts->inf += !IsNan(h) && !IsFinite(h) ? 1 : 0;
      counts->saturated += quantizer.Saturates(value, row_scale) ? 1 : 0;
    }
  }
}

}  // namespace w8a8
