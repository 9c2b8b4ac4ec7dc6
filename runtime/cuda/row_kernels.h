// The element-wise steps on the device but norms: activation functions, residual, conversions and
// outputs through their codes. Equal to the CPU's in every bit (numerics.md section 2). Arguments
// were validated; rows may be strided, and 16-byte aligned ones are faster.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/plain_codes.h"
#include "runtime/cuda/queue.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// y = fp16(function(x)); with `gated` data, y = fp16(y * gated). `y` may be x; without data only
// the codes are wanted.
struct ActivationArgs {
  ActivationKind kind = ActivationKind::kGeluErf;
  MatView<const Half> x = {};
  MatView<const Half> gated = {};
  MatView<Half> y = {};
  PlainCodes codes = {};
};
// Where codes are wanted: what a block may hold of a row, on every device from sm_80 on.
constexpr int64_t kMostActivationCols = 80 * 1024;
void LaunchActivation(Queue queue, const ActivationArgs& args);

// stream = fma(layer_scale[c], y, stream), rounded to what the stream is stored in.
template <class T>
struct AddArgsOf {
  MatView<T> stream = {};
  MatView<const Half> y = {};
  const float* layer_scale = nullptr;  // [cols]; nullptr: 1
};
using AddArgs = AddArgsOf<Half>;
using AddFloatArgs = AddArgsOf<float>;
void LaunchAdd(Queue queue, const AddArgs& args);
void LaunchAdd(Queue queue, const AddFloatArgs& args);

// Towards FP16 rounded once.
void LaunchConvert(Queue queue, MatView<const Half> from, MatView<float> to);
void LaunchConvert(Queue queue, MatView<const float> from, MatView<Half> to);

// FP16 outputs through their codes, in place: q = rne(clamp(y / scale, -127, 127)), 0 for NaN;
// y = fp16(q * scale), zero as +0.
struct ThroughCodesArgs {
  MatView<Half> y = {};
  float scale = 1.0f;
  int8_t* codes = nullptr;  // as PlainCodes::codes; nullptr: not wanted
  int64_t codes_stride = 0;
  uint64_t* saturated = nullptr;  // added to: values beyond the codes; nullptr: not wanted
};
void LaunchThroughCodes(Queue queue, const ThroughCodesArgs& args);

}  // namespace w8a8
