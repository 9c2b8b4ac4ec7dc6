#include "quant/reference_quantizer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/all_finite.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr size_t kRangeLanes = 16;

bool IsUsable(float scale) {
  const float inv_scale = 1.0f / scale;
  return scale > 0.0f && inv_scale > 0.0f && std::isfinite(scale) && std::isfinite(inv_scale);
}

void CheckGranularity(const Quantizer& quantizer, std::string_view site) {
  if (quantizer.granularity == Granularity::kChannel) {
    Fail("{}: an activation is quantized per-token, per-tensor or per-group, not per-channel.",
         site);
  }
  if (quantizer.granularity != Granularity::kGroup) return;
  if (quantizer.group_size < 1) {
    Fail("{}: the input's group size is {}; it must be at least 1.", site, quantizer.group_size);
  }
  if (!quantizer.symmetric) {
    Fail("{}: inputs in groups are symmetric; a zero point goes with per-token or per-tensor.",
         site);
  }
}

void CheckZeroPoint(const Quantizer& quantizer, std::string_view site) {
  const int32_t zero_point = quantizer.zero_point;
  if (zero_point < kLowestInt8 || zero_point > kMaxCode) {
    Fail("{}: the input's zero point is {}; it must be in [-128, 127].", site, zero_point);
  }
  if (zero_point == 0 || (quantizer.is_static() && !quantizer.symmetric)) return;
  Fail("{}: the input's zero point is {}, but only a static asymmetric input has a given one.",
       site, zero_point);
}

// Codes grow with x: where neither end of the row's `range` saturates nothing between them does.
void Count(const Quantizer& quantizer, std::span<const float> values, FiniteRange range,
           const ActivationScale& scale, QuantizeCounts* counts) {
  if (counts == nullptr) return;
  const bool inside =
      !quantizer.Saturates(range.low, scale) && !quantizer.Saturates(range.high, scale);
  if (inside && AllFinite(values)) return;
  for (const float x : values) {
    counts->nan += std::isnan(x) ? 1 : 0;
    counts->inf += std::isinf(x) ? 1 : 0;
    counts->saturated += quantizer.Saturates(x, scale) ? 1 : 0;
  }
}

// What the codes of a row leave of it, coded once more; returns the second scale.
float QuantizeRest(std::span<const float> row, const int8_t* codes, float scale, int8_t* second) {
  std::vector<float> rest;
  for (size_t k = 0; k < row.size(); ++k) {
    rest.push_back(std::isfinite(row[k]) ? row[k] - static_cast<float>(codes[k]) * scale : 0.0f);
  }
  ActivationScale second_scale{};
  QuantizeRowReference(rest, Quantizer(), second, &second_scale, nullptr);
  return second_scale.scale;
}

}  // namespace

void CheckQuantizer(const Quantizer& quantizer, std::string_view site) {
  CheckGranularity(quantizer, site);
  CheckZeroPoint(quantizer, site);
  if (!(quantizer.clip_range > 0.0f)) {
    Fail("{}: the clip range is {}; it must be > 0, or infinity for no clip.", site,
         quantizer.clip_range);
  }
  if (!quantizer.is_static() || IsUsable(quantizer.scale)) return;
  Fail(
      "{}: the static input scale is {}; it and its reciprocal must be finite and > 0. "
      "Calibrate the site, take a larger clip range, or leave it in FP16.",
      site, quantizer.scale);
}

void CheckOutputQuantizer(const Quantizer& quantizer, std::string_view site) {
  if (!quantizer.is_static() || !quantizer.symmetric || quantizer.zero_point != 0) {
    Fail("{}: an output is quantized per-tensor with a static scale and no zero point.", site);
  }
  if (!IsUsable(quantizer.scale) || 127.0f * quantizer.scale > kMaxHalf) {
    Fail(
        "{}: the output scale is {}; it and its reciprocal must be finite and > 0, and 127 times "
        "it at most {} to be stored as FP16.",
        site, quantizer.scale, kMaxHalf);
  }
}

// In lanes, for the compiler to take several at once: no order changes a bit of the result.
FiniteRange RangeOf(std::span<const float> values) {
  std::array<float, kRangeLanes> low{}, high{};
  const auto take = [&](size_t lane, float value) {
    const float finite = IsFiniteBits(value) ? value : 0.0f;
    low[lane] = finite < low[lane] ? finite : low[lane];
    high[lane] = finite > high[lane] ? finite : high[lane];
  };
  size_t first = 0;
  for (; first + kRangeLanes <= values.size(); first += kRangeLanes) {
    for (size_t lane = 0; lane < kRangeLanes; ++lane) take(lane, values[first + lane]);
  }
  for (; first < values.size(); ++first) take(0, values[first]);
  return {*std::ranges::min_element(low), *std::ranges::max_element(high)};
}

float AmaxOf(MatView<const Half> rows) {
  std::vector<float> row(static_cast<size_t>(rows.cols));
  float amax = 0;
  for (int64_t r = 0; r < rows.rows; ++r) {
    ToFloat(rows.row_span(r), row);
    amax = std::max(amax, Amax(RangeOf(row)));
  }
  return amax;
}

void QuantizeRowReference(std::span<const float> row, const Quantizer& quantizer, int8_t* codes,
                          ActivationScale* scales, QuantizeCounts* counts) {
  const auto group = static_cast<size_t>(quantizer.GroupOf(static_cast<int64_t>(row.size())));
  for (size_t first = 0; first < row.size(); first += group) {
    const std::span<const float> some = row.subspan(first, std::min(group, row.size() - first));
    const FiniteRange range = RangeOf(some);
    const ActivationScale scale = quantizer.ScaleOf(range);
    for (const float x : some) *codes++ = quantizer.CodeOf(x, scale);
    Count(quantizer, some, range, scale, counts);
    *scales++ = scale;
  }
}

ReferenceRows QuantizeRowsReference(MatView<const Half> x, const InputScheme& scheme) {
  ReferenceRows rows;
  QuantizeRowsReference(x, scheme, &rows);
  return rows;
}

void QuantizeRowsReference(MatView<const Half> x, const InputScheme& scheme, ReferenceRows* rows) {
  ReferenceRows& out = *rows;
  const Quantizer& quantizer = scheme.quantizer;
  const auto cols = static_cast<size_t>(x.cols);
  const int64_t images = scheme.rows_per_image > 0 ? x.rows / scheme.rows_per_image : 0;
  out.codes.resize(static_cast<size_t>(x.rows + images) * cols);
  out.counts = {};
  out.values.resize(static_cast<size_t>(x.rows) * cols);
  out.scales = {.values = {},
                .shared = quantizer.is_static(),
                .groups = quantizer.GroupsOf(x.cols),
                .group_size = quantizer.GroupOf(x.cols)};
  TransformRows(x, scheme.transform, {out.values.data(), x.rows, x.cols, x.cols});
  std::vector<ActivationScale> scales(static_cast<size_t>(out.scales.groups));
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::span<float> row = std::span(out.values).subspan(static_cast<size_t>(r) * cols, cols);
    int8_t* codes = out.codes.data() + r * x.cols;
    QuantizeRowReference(row, quantizer, codes, scales.data(), &out.counts);
    if (images > 0 && r % scheme.rows_per_image == 0) {
      int8_t* second = out.codes.data() + (x.rows + r / scheme.rows_per_image) * x.cols;
      out.scales.second_values.push_back(QuantizeRest(row, codes, scales[0].scale, second));
    }
    if (out.scales.shared && r > 0) continue;
    for (const ActivationScale& scale : scales) out.scales.values.push_back(scale.scale);
    if (!quantizer.symmetric) out.scales.zero_points.push_back(scales[0].zero_point);
  }
}

void RealValuesOf(const ReferenceRows& rows, MatView<float> values) {
  const RowScales& scales = rows.scales;
  const int64_t group = scales.groups == 1 ? values.cols : scales.group_size;
  const int8_t* code = rows.codes.data();
  for (int64_t r = 0; r < values.rows; ++r) {
    float* value = values.row(r);
    for (int64_t first = 0; first < values.cols; first += group) {
      const ActivationScale scale = scales.At(r, first);
      const int64_t count = std::min(group, values.cols - first);
      for (int64_t c = 0; c < count; ++c) *value++ = Quantizer::RealOf(*code++, scale);
    }
  }
  const auto images = static_cast<int64_t>(scales.second_values.size());
  for (int64_t image = 0; image < images; ++image) {
    const float scale = scales.second_values[static_cast<size_t>(image)];
    for (float& value : values.row_span(image * (values.rows / images))) {
      value += static_cast<float>(*code++) * scale;
    }
  }
}

void TransformRows(MatView<const Half> x, const InputTransform& transform, MatView<float> values) {
  for (int64_t r = 0; r < x.rows; ++r) {
    ToFloat(x.row_span(r), values.row_span(r));
    TransformRow(transform, values.row_span(r));
  }
}

uint64_t QuantizeOutputs(const Quantizer& output, MatView<Half> y, MatView<int8_t> codes) {
  const ActivationScale scale = output.ScaleOf({});
  uint64_t saturated = 0;
  for (int64_t r = 0; r < y.rows; ++r) {
    for (int64_t c = 0; c < y.cols; ++c) {
      Half& stored = y.row(r)[c];
      const float value = ToFloat(stored);
      const int8_t code = output.CodeOf(value, scale);
      saturated += output.Saturates(value, scale) ? 1 : 0;
      if (codes.data != nullptr) codes.row(r)[c] = code;
      stored = ToHalf(OutputValue(code, scale.scale));
      if (stored.bits == kHalfSignBit) stored = Half{};
    }
  }
  return saturated;
}

}  // namespace w8a8
