// Rows quantized on the device and on the CPU: what a scheme makes of them, in arrays that can be
// compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "quant/transform.h"
#include "runtime/cpu/code_rows.h"
#include "runtime/cuda/quantize_kernels.h"
#include "tests/cuda/device_rows.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {

struct Scheme {
  Quantizer quantizer = {};
  InputTransform transform = {};
  int64_t group = 0;
  int64_t rows_per_image = 0;
};

inline InputTransform Smoothing(int64_t cols) {
  return {.inv_smoothing = RandomFloats(cols, 71, 1.5f), .rotation = {}};
}
// Of blocks of `block` inputs, which divide `cols`, and of factors too where there is smoothing.
inline InputTransform Rotated(int64_t block, bool mix, InputTransform of = {}) {
  of.rotation = Rotation{.block = block, .mix = mix, .seed = 5};
  return of;
}

// The transform on the device; its factors live as long as this does.
class DeviceTransform {
 public:
  DeviceTransform(const InputTransform& transform, int64_t cols)
      : given_(!transform.empty()), factors_(Factors(transform, cols)) {
    if (!transform.rotation) return;
    block_ = transform.rotation->block;
    mix_ = MixFactor(*transform.rotation, cols);
    norm_ = RotationNorm(*transform.rotation);
  }
  RowTransform row() const {
    if (!given_) return {};
    return {.factors = factors_.data(), .block = block_, .mix = mix_, .norm = norm_};
  }

 private:
  static std::vector<float> Factors(const InputTransform& transform, int64_t cols) {
    std::vector<float> factors(static_cast<size_t>(cols));
    RowFactors(transform, factors);
    return factors;
  }
  bool given_;
  DeviceArray<float> factors_;
  int64_t block_ = 0;
  float mix_ = 0.0f, norm_ = 1.0f;
};

struct Quantized {
  std::vector<int8_t> codes;  // padded with zeros
  std::vector<float> scale;
  std::vector<int32_t> zero_point, code_sum;
  std::vector<uint64_t> counts;  // 5 and what was counted
  std::vector<float> values;     // what the quantizer saw
  friend bool operator==(const Quantized&, const Quantized&) = default;
};

inline int64_t CodesStride(int64_t cols) { return (cols + 15) / 16 * 16; }

inline Quantized QuantizedByTheCpu(const std::vector<Half>& x, int64_t cols, const Scheme& scheme) {
  const MatView<const Half> view{x.data(), static_cast<int64_t>(x.size()) / cols, cols, cols};
  CodeRows rows;
  QuantizeCounts counts{5, 5, 5};
  QuantizeRows(kScalarInt8Kernels, view,
               {.quantizer = scheme.quantizer,
                .transform = scheme.transform.empty() ? nullptr : &scheme.transform,
                .group = scheme.group,
                .rows_per_image = scheme.rows_per_image},
               &rows, &counts);
  const int64_t all = rows.rows + rows.second, stride = CodesStride(cols);
  Quantized q;
  q.codes.resize(static_cast<size_t>(all * stride));
  UnpackCodes(kScalarInt8Kernels, rows, {q.codes.data(), all, cols, stride});
  q.scale.assign(rows.scale.data(), rows.scale.data() + all * rows.scale_groups);
  if (rows.asymmetric()) q.zero_point.assign(rows.zero_point.data(), rows.zero_point.data() + all);
  q.code_sum.assign(rows.code_sum.data(), rows.code_sum.data() + all * rows.layout.count);
  q.counts = {counts.nan, counts.inf, counts.saturated};
  q.values.resize(x.size());
  TransformRows(view, scheme.transform, {q.values.data(), view.rows, cols, cols});
  return q;
}

// Rows and room for what becomes of them.
struct DeviceQuantized {
  DeviceQuantized(const std::vector<Half>& values_of_x, int64_t cols, const Scheme& with,
                  Placing placing = {})
      : scheme(with),
        rows(static_cast<int64_t>(values_of_x.size()) / cols),
        all(rows + (with.rows_per_image > 0 ? rows / with.rows_per_image : 0)),
        groups(GroupsOfRow(cols, with.group)),
        scale_groups(with.quantizer.GroupsOf(cols) > 1 ? groups : 1),
        x(values_of_x, cols, placing),
        transform(with.transform, cols),
        codes(static_cast<size_t>(all * CodesStride(cols))),
        scale(static_cast<size_t>(all * scale_groups)),
        zero_point(static_cast<size_t>(with.quantizer.symmetric ? 0 : rows)),
        code_sum(static_cast<size_t>(all * groups)),
        counts(std::vector<uint64_t>{5, 5, 5}),
        values(rows, cols, placing) {}

  QuantizeArgs args() const {
    const MatView<Half> view = x.view();
    return {.x = view,
            .quantizer = scheme.quantizer,
            .transform = transform.row(),
            .group = scheme.group,
            .rows_per_image = scheme.rows_per_image,
            .codes = codes.data(),
            .codes_stride = CodesStride(view.cols),
            .scale = scale.data(),
            .zero_point = scheme.quantizer.symmetric ? nullptr : zero_point.data(),
            .code_sum = code_sum.data(),
            .counts = counts.data(),
            .values = {}};
  }
  // After a launch with `values` wanted or not.
  Quantized Download(bool with_values) const {
    return {.codes = codes.Download(),
            .scale = scale.Download(),
            .zero_point = zero_point.Download(),
            .code_sum = code_sum.Download(),
            .counts = counts.Download(),
            .values = with_values ? values.Download() : std::vector<float>()};
  }

  Scheme scheme;
  int64_t rows, all, groups, scale_groups;
  DeviceRows<Half> x;
  DeviceTransform transform;
  DeviceArray<int8_t> codes;
  DeviceArray<float> scale;
  DeviceArray<int32_t> zero_point, code_sum;
  DeviceArray<uint64_t> counts;
  DeviceRows<float> values;
};

inline void ExpectEqual(const Quantized& expected, const Quantized& actual,
                        const std::string& what) {
  EXPECT_EQ(Equal(expected.codes, actual.codes), "") << what;
  EXPECT_EQ(Equal(expected.scale, actual.scale), "") << what;
  EXPECT_EQ(Equal(expected.zero_point, actual.zero_point), "") << what;
  EXPECT_EQ(Equal(expected.code_sum, actual.code_sum), "") << what;
  EXPECT_EQ(expected.counts, actual.counts) << what;
  if (!actual.values.empty()) {
    EXPECT_EQ(Equal(expected.values, actual.values), "") << what;
  }
}

// With and without the values that the quantizer saw, which take other kernels.
inline void ExpectQuantizedAsTheCpu(const std::vector<Half>& x, int64_t cols, const Scheme& scheme,
                                    const std::string& what, Placing placing = {}) {
  const Quantized expected = QuantizedByTheCpu(x, cols, scheme);
  for (const bool with_values : {false, true}) {
    const DeviceQuantized there(x, cols, scheme, placing);
    QuantizeArgs args = there.args();
    if (with_values) args.values = there.values.view();
    LaunchQuantize(nullptr, args);
    ExpectEqual(expected, there.Download(with_values), what + " K " + std::to_string(cols));
  }
}

}  // namespace w8a8::test
