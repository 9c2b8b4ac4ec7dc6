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

void CheckActivationSpec(const ActivationSpec& spec, std::string_view site) {
  if (spec.granularity != Granularity::kToken && spec.granularity != Granularity::kTensor) {
    Fail("{}: an activation is quantized per-token or per-tensor, not per-channel or per-group.",
         site);
  }
  if (!(spec.clip_range > 0.0f)) {
    Fail("{}: the clip range is {}; it must be > 0, or infinity for no clip.", site,
         spec.clip_range);
  }
  if (spec.granularity == Granularity::kToken) return;
  const float inv_scale = 1.0f / spec.scale;
  if (!(spec.scale > 0.0f && inv_scale > 0.0f && std::isfinite(spec.scale) &&
        std::isfinite(inv_scale))) {
    Fail(
        "{}: the static input scale is {}; it and its reciprocal must be finite and > 0. "
        "Calibrate the site, or leave it in FP16.",
        site, spec.scale);
  }
}

void QuantizeRowsReference(MatView<const Half> x, const ActivationSpec& spec, int8_t* codes,
                           float* scale, QuantizeCounts* counts) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<const Half> row = x.row_span(r);
    const ActivationScale s = spec.granularity == Granularity::kTensor
                                  ? TensorScale(spec.scale)
                                  : TokenScale(FiniteAmax(row), spec.clip_range);
    scale[r] = s.scale;
    for (const Half h : row) {
      const float value = ToFloat(h);
      *codes++ = ActivationCode(value, s.inv_scale);
      counts->nan += IsNan(h) ? 1 : 0;
      counts->inf += !IsNan(h) && !IsFinite(h) ? 1 : 0;
      counts->saturated += IsSaturated(value, s.inv_scale) ? 1 : 0;
    }
  }
}

}  // namespace w8a8
