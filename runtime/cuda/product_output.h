// What becomes of a sum of the INT8 product, for every kernel that has one. Compiled with the
// kernels only.
#pragma once

#include <cstdint>

#include "quant/numerics.h"
#include "runtime/base/half.h"
#include "runtime/cuda/block.h"
#include "runtime/cuda/product_kernels.h"

namespace w8a8 {

W8A8_DEVICE float BiasOf(const float* bias, int64_t col) {
  return bias == nullptr ? 0.0f : Load(&bias[col]);
}

W8A8_DEVICE Half ActivatedHalf(ActivationKind kind, Half x) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return Narrow(GeluErf(Widen(x)));
    case ActivationKind::kGeluTanh:
      return Narrow(GeluTanh(Widen(x)));
    case ActivationKind::kQuickGelu:
      return Narrow(QuickGelu(Widen(x)));
    case ActivationKind::kSilu:
      break;
  }
  return Narrow(Silu(Widen(x)));
}

// Columns that a kernel has to go over.
template <ProductOutput kOutput>
W8A8_HOST_DEVICE constexpr int64_t OutputColumns(const ProductArgs& args) {
  return kOutput == ProductOutput::kCodes ? args.codes_stride : args.n;
}

// The output of `acc` at any place of a tile: nothing is stored outside of y, or of the codes,
// whose padding becomes 0. FP16 stands between the product and what is made of it because
// numerics.md rounds there.
template <ProductOutput kOutput>
W8A8_DEVICE void StoreProduct(const ProductArgs& args, int64_t row, int64_t col, int32_t acc) {
  if (row >= args.m || col >= OutputColumns<kOutput>(args)) return;
  if (col >= args.n) return Store(&args.codes[row * args.codes_stride + col], int8_t{0});
  if (args.acc != nullptr) Store(&args.acc[row * args.n + col], acc);
  const Half output = Narrow(
      Dequantize(acc, Load(&args.scale_w[col]), Load(&args.scale_x[row]), BiasOf(args.bias, col)));
  if constexpr (kOutput == ProductOutput::kCodes) {
    const float value = Widen(ActivatedHalf(args.activation, output));
    const float inv_scale = TensorScale(args.codes_scale).inv_scale;
    Store(&args.codes[row * args.codes_stride + col], ActivationCode(value, inv_scale));
    return;
  }
  Half* const y = &args.y[row * args.y_stride + col];
  if constexpr (kOutput == ProductOutput::kResidual) {
    const float layer_scale = args.layer_scale == nullptr ? 1.0f : Load(&args.layer_scale[col]);
    return Store(y, Narrow(Residual(layer_scale, Widen(output), Widen(Load(y)))));
  }
  Store(y, output);
}

}  // namespace w8a8
