// Norms on the device, with what may stand before and behind them in one kernel: the residual and
// the plain quantizer. Equal to the CPU's in every bit (numerics.md section 2). Arguments were
// validated; rows may be strided, and 16-byte aligned ones are faster.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/plain_codes.h"
#include "runtime/cuda/queue.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// What stands before a norm in the same kernel: x = fma(layer_scale, y, x), stored as x is.
struct ResidualBefore {
  MatView<const Half> y = {};          // no data: no residual
  const float* layer_scale = nullptr;  // [cols]; nullptr: 1
};

// y = norm(x) of FP16 or FP32 rows. `y` may be x itself; where only codes are wanted it has no
// data, and the row's FP16 values never leave the processor.
template <class T>
struct NormArgsOf {
  NormKind kind = NormKind::kLayerNorm;
  float eps = 0.0f;
  MatView<T> x = {};
  ResidualBefore add = {};
  const float* weight = nullptr;  // [cols]; nullptr: 1
  const float* bias = nullptr;    // [cols]; nullptr: 0. LayerNorm only
  MatView<Half> y = {};
  PlainCodes codes = {};
};
using NormArgs = NormArgsOf<Half>;
using NormFloatArgs = NormArgsOf<float>;
// What a block may hold of a row, on every device from sm_80 on.
constexpr int64_t kMostNormCols = 40 * 1024;
void LaunchNorm(Queue queue, const NormArgs& args);
void LaunchNorm(Queue queue, const NormFloatArgs& args);

}  // namespace w8a8
