// The INT8 product of rows of codes with a layer's codes, dequantized to FP16, for any NVIDIA GPU
// from sm_80 on: correct first. A fast kernel for what most layers are, tensor cores with one scale
// a row and one a column; and one for everything else in numerics.md section 6.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/cuda/queue.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Rows of codes and weights are padded to a multiple of this with zeros, and begin at such a byte.
constexpr int64_t kCodesAlignment = 16;
constexpr int64_t PaddedCodes(int64_t count) {
  return (count + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
}

// What becomes of an output of a product once it is FP16: what the step behind the product would
// make of it, in the same bits.
enum class ProductOutput : uint8_t {
  kHalf,      // it is y
  kResidual,  // y, which is the stream, becomes fp16(fma(layer_scale[j], output, y))
  kCodes,     // the codes of fp16(activation(output)); y is not written
};

// output[i, j] = fp16(fma(float(acc[i, j]) * scale_w[j], scale_x[i], bias[j])).
struct ProductArgs {
  int64_t m, n, k;
  const int8_t* x;  // [m, x_stride]
  int64_t x_stride;
  const int8_t* weight;  // [n, weight_stride]
  int64_t weight_stride;
  const float* scale_x;  // [m]
  const float* scale_w;  // [n]
  const float* bias;     // [n]; nullptr: 0
  Half* y;               // [m, y_stride]
  int64_t y_stride;
  int32_t* acc;  // [m, n]: the exact products; nullptr: not wanted
  ProductOutput output = ProductOutput::kHalf;
  const float* layer_scale = nullptr;  // kResidual: [n]; nullptr: 1
  // kCodes, by one static scale: [m, codes_stride], n rounded up to kCodesAlignment; 0 from n on.
  ActivationKind activation = ActivationKind::kGeluErf;
  float codes_scale = 0.0f;
  int8_t* codes = nullptr;
  int64_t codes_stride = 0;
};
void LaunchProduct(Queue queue, const ProductArgs& args);

// Whose scale changes from group to group (numerics.md section 6, "Dequantize with groups").
enum class GroupScales : uint8_t { kWeights, kInputs, kBoth };

// acc_g[i, j] = sum over group g of (x - zero_point_x[i]) * (w - zero_point_w[g, j]). One group
// with kWeights is ProductArgs' formula. Here and below outputs are kHalf.
struct GroupedProductArgs {
  ProductArgs
      product;  // scale_x: [m], or [m, groups] where inputs have groups; acc: [groups, acc_rows, n]
  int64_t group;  // inputs of a group; the last one may have fewer
  GroupScales scales;
  int64_t scale_groups_w;       // of scale_w [scale_groups_w, n]: 1 or all
  const int32_t* zero_point_x;  // [m]; nullptr: 0
  const int32_t* zero_point_w;  // [groups, n]; nullptr: 0
  int64_t acc_rows;             // m and the second codes' rows
};
void LaunchGroupedProduct(Queue queue, const GroupedProductArgs& args);

// The rows of `product` that begin an image, anew, with the second codes of each: row m + i of x
// and scale_x are those of image i's. y = fma(float(acc') * scale_w, scale', fma(...)), one
// rounding.
struct TwiceProductArgs {
  ProductArgs
      product;  // m: rows of all images, which LaunchProduct() has made; acc: [m + images, n]
  int64_t images, rows_per_image;
};
void LaunchTwiceProduct(Queue queue, const TwiceProductArgs& args);

// Weight-only: t = fma(sum over g of x * float(w - zero_point_w), scale_w, t), sums from 0 with k
// ascending, their products exact; y = fp16(t + bias). The bits of the CPU's sets.
struct WeightOnlyProductArgs {
  int64_t m, n, k;
  const Half* x;
  int64_t x_stride;
  const int8_t* weight;
  int64_t weight_stride;
  int64_t group;
  int64_t scale_groups_w;
  const float* scale_w;         // [scale_groups_w, n]
  const int32_t* zero_point_w;  // [groups, n]; nullptr: 0
  const float* bias;            // [n]; nullptr: 0
  Half* y;
  int64_t y_stride;
};
void LaunchWeightOnlyProduct(Queue queue, const WeightOnlyProductArgs& args);

}  // namespace w8a8
