// The input file of `linear`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/cli/options.h"
#include "quant/spec.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

struct LinearInput {
  int64_t m = 0;
  std::vector<Half> x;     // [m, k]
  LinearParameters layer;  // n x k
  SitePlan plan;           // of the flags, with what the file says: smoothing, kinds of scales

  MatView<const Half> x_view() const { return {x.data(), m, layer.k, layer.k}; }
};

// Reads `x` F16 [M, K]; `weight` F32, F16 or BF16 [N, K], or I8, or `weight_packed` I32 with
// `weight_shape` I64 [2]; `weight_scale` F32, F16 or BF16, [1], [N], [N, 1] or [N, groups]; the
// optional `weight_zero_point` (I8 of the scales' shape beside I8, I32 packed along N beside
// `weight_packed`), `bias` F32, F16 or BF16 [N] and `smoothing` F32 [K]; ignores other tensors.
// Throws Error naming the tensor that does not fit, that is missing, or that the flags do not use,
// UsageError for a flag that the file needs or contradicts.
LinearInput ReadLinearInput(const Options& options);

}  // namespace w8a8
