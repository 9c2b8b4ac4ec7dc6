#include "quant/reference_quantizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

float FiniteAmax(std::span<const float> row) {
  float amax = 0.0f;
  for (const float value : row) {
    if (std::isfinite(value)) amax = std::max(amax, Abs(value));
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

ActivationScale QuantizeRowReference(std::span<const float> row, const Quantizer& quantizer,
                                     int8_t* codes, QuantizeCounts* counts) {
  const ActivationScale scale = quantizer.ScaleOfRow(FiniteAmax(row));
  for (const float x : row) *codes++ = quantizer.CodeOf(x, scale);
  if (counts == nullptr) return scale;
  for (const float x : row) {
    counts->nan += std::isnan(x) ? 1 : 0;
    counts->inf += std::isinf(x) ? 1 : 0;
    counts->saturated += quantizer.Saturates(x, scale) ? 1 : 0;
  }
  return scale;
}

void QuantizeRowsReference(MatView<const Half> x, const Quantizer& quantizer, int8_t* codes,
                           float* scale, QuantizeCounts* counts) {
  std::vector<float> row(static_cast<size_t>(x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    ToFloat(x.row_span(r), row);
    scale[r] = QuantizeRowReference(row, quantizer, codes + r * x.cols, counts).scale;
  }
}

}  // namespace w8a8
