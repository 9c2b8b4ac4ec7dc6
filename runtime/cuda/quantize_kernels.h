// FP16 rows to codes on the device by any quantizer of numerics.md section 6, and back to the real
// values that codes stand for. Equal to runtime/cpu/code_rows.h in every bit. Arguments were
// validated; rows may be strided, and 16-byte aligned ones are faster.
#pragma once

#include <cstdint>

#include "quant/quantizer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// An InputTransform on the device: RowFactors(), the rotation's block, MixFactor() and
// RotationNorm().
struct RowTransform {
  const float* factors = nullptr;  // [cols]; nullptr: v = x, and no rotation either
  int64_t block = 0;               // 0: no rotation
  float mix = 0.0f;                // 0: no mix
  float norm = 1.0f;
};

// Groups of a row of `cols` inputs, `group` (0: all) in each.
inline int64_t GroupsOfRow(int64_t cols, int64_t group) {
  return group > 0 && group < cols ? (cols + group - 1) / group : 1;
}

// `second` rows stand behind all others: the second codes of each image's first row.
struct QuantizeArgs {
  MatView<const Half> x = {};
  Quantizer quantizer = {};
  RowTransform transform = {};
  int64_t group = 0;           // inputs of a product's accumulator (ProductGroup); 0: all
  int64_t rows_per_image = 0;  // > 0: the first row of each image is coded twice
  int8_t* codes = nullptr;     // [rows + second, codes_stride], 16-byte aligned
  int64_t codes_stride = 0;    // a multiple of 16, at least the columns: those past them become 0
  float* scale = nullptr;      // [rows + second, ScaleGroups()]; a static scale is repeated
  int32_t* zero_point = nullptr;  // [rows]; asymmetric quantizers only
  int32_t* code_sum = nullptr;    // [rows + second, GroupsOfRow(cols, group)]
  uint64_t* counts = nullptr;     // NaN, Inf, saturated: added to; nullptr: not wanted
  MatView<float> values = {};     // v, what the quantizer saw; no data: not wanted
};
// Scales of a row: 1, or one for each group of the product where inputs are in groups.
inline int64_t ScaleGroups(const QuantizeArgs& args) {
  return args.quantizer.GroupsOf(args.x.cols) > 1 ? GroupsOfRow(args.x.cols, args.group) : 1;
}
// What a block may hold of a row on every device from sm_80 on; the plain quantizer (symmetric, one
// group, no transform, no values) takes any.
constexpr int64_t kMostHeldInputs = 40 * 1024;
void LaunchQuantize(Queue queue, const QuantizeArgs& args);

// Rows as a layer takes them that does not quantize its input: transformed, then rounded to FP16.
struct TransformRowsArgs {
  MatView<const Half> x = {};
  RowTransform transform = {};
  MatView<Half> rounded = {};  // may be x; no data: not wanted
  MatView<float> values = {};  // before the rounding; no data: not wanted
};
void LaunchTransform(Queue queue, const TransformRowsArgs& args);

// float(code - zero point) * scale, and where a row was coded twice the sum of both: what `fake`
// multiplies. The arrays as LaunchQuantize() left them.
struct RealRowsArgs {
  const int8_t* codes = nullptr;
  int64_t codes_stride = 0;
  const float* scale = nullptr;
  const int32_t* zero_point = nullptr;  // nullptr: 0
  int64_t scale_group = 0;  // inputs of a scale: `group` where ScaleGroups() > 1; 0: all
  int64_t rows_per_image = 0;
  MatView<float> values = {};  // [rows, cols]
};
void LaunchRealRows(Queue queue, const RealRowsArgs& args);

}  // namespace w8a8
