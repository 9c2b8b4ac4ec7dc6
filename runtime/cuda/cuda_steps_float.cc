// The float products of CudaArena, attention and what the encoder begins with.
#include "runtime/base/error.h"
#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/float_product_kernels.h"

namespace w8a8 {

// `shape` is that of x, whose elements may be of another kind; one of the outputs has no data.
void CudaArena::MultiplyFloats(Elements x, MatView<const float> shape, const CudaFloats& weight,
                               const float* bias, MatView<Half> to_half, MatView<float> to_floats) {
  W8A8_CHECK(shape.cols == weight.k());
  const FloatProductArgs args{
      .m = shape.rows,
      .n = weight.n(),
      .k = weight.k(),
      .x = x,
      .x_stride = shape.stride,
      .weight = weight.elements(),
      .weight_stride = weight.stride(),
      .bias = bias,
      .half = to_half.data,
      .floats = to_floats.data,
      .y_stride = to_half.data != nullptr ? to_half.stride : to_floats.stride};
  if (products_ != nullptr) {
    ProductCounts& counts = products_->counts();
    if (products_->FloatProduct(queue(), args)) return counts.Add(ProductKind::kHalf);
    const bool halves = args.x.type == Element::kHalf && args.weight.type == Element::kHalf;
    if (halves) counts.Add(ProductKind::kHalfSizes);
  }
  LaunchFloatProduct(queue(), args);
}

// Its positions belong to a grid, and are made once for all images of one.
const EmbedStep& CudaArena::AtThisGrid(const EmbedStep& step) {
  if (step.variable == nullptr) return step;
  const bool is_last = grid_ == inputs().grid && embedded_.position == step.position &&
                       embedded_.patch_weight == step.patch_weight &&
                       embedded_.patch_bias == step.patch_bias && embedded_.prefix == step.prefix;
  if (is_last) return at_grid_;
  grid_ = inputs().grid;
  embedded_ = step;
  return at_grid_ = AtGrid(step, grid_);
}

// Pixels are operands of a float product and enter it as FP16 like every other; bias and position
// are added in binary32 before the one rounding, if any.
void CudaArena::Do(const EmbedStep& any_step) {
  const EmbedStep& step = AtThisGrid(any_step);
  const int64_t patches = (step.image_height / step.patch) * (step.image_width / step.patch);
  const int64_t all = inputs().images * patches;
  const int64_t k = step.channels * step.patch * step.patch, width = slot(step.out).cols;
  const int64_t stride = PaddedHalves(k);
  const MatView<Half> x{rows_.Reserve(all * stride), all, k, stride};
  if (stride > k) {
    ClearOnDevice(queue(), rows_.bytes(), static_cast<size_t>(all * stride) * sizeof(Half));
  }
  LaunchGatherPatches(queue(), {.pixels = floats(step.pixels),
                                .channels = step.channels,
                                .image_height = step.image_height,
                                .image_width = step.image_width,
                                .patch = step.patch,
                                .out = x});
  const MatView<float> product{values_.Reserve(all * width), all, width, width};
  MultiplyFloats(x.data, {nullptr, all, k, stride}, PackedAs<CudaFloats>(*step.patch_weight),
                 Vector(step.patch_bias), {}, product);
  const auto prefix =
      step.prefix == nullptr ? 0 : static_cast<int64_t>(step.prefix->size()) / width;
  const auto embed = [&]<class T>(MatView<T> out) {
    W8A8_CHECK(out.rows == all + inputs().images * prefix);
    LaunchEmbed(queue(), EmbedArgsOf<T>{.product = product,
                                        .prefix = Vector(step.prefix),
                                        .position = Vector(step.position),
                                        .images = inputs().images,
                                        .prefix_tokens = prefix,
                                        .out = out});
  };
  if (IsFloat(step.out)) return embed(floats(step.out));
  embed(half(step.out));
}

BatchAttentionArgs CudaArena::AttentionArgsOf(const AttentionStep& step) {
  const int64_t width = step.heads * step.head_dim;
  const MatView<Half> kv = half(step.kv);
  return {.precision = step.precision,
          .q = half(step.q).ColRange(step.q_col, width),
          .k = kv.ColRange(step.k_col, width),
          .v = kv.ColRange(step.v_col, width),
          .out = half(step.out),
          .images = inputs().images,
          .heads = step.heads,
          .head_dim = step.head_dim,
          .key_mask = KeyMask()};
}

StepResult CudaArena::Do(const AttentionStep& step, const Wanted& wanted) {
  const int64_t keys = slot(step.kv).rows;
  const int64_t scores = inputs().images * step.heads * slot(step.q).rows;
  BatchAttentionArgs args = AttentionArgsOf(step);
  if (wanted.attention) {
    args.probabilities = {probabilities_.Reserve(scores * keys), scores, keys, keys};
  }
  args.scratch = scratch_.Reserve(static_cast<int64_t>(AttentionScratchBytes(args)));
  LaunchAttention(queue(), args);
  StepResult result;
  if (wanted.attention) {
    result.attention = Matrix<float>(scores, keys);
    CopyToHost(queue(), result.attention.view().data, probabilities_.bytes(),
               static_cast<size_t>(scores * keys) * sizeof(float));
  }
  return result;
}

StepResult CudaArena::Do(const GemmF16Step& step, const Wanted& wanted) {
  const MatView<Half> x = half(step.in);
  MultiplyFloats(x.data, {nullptr, x.rows, x.cols, x.stride}, PackedAs<CudaFloats>(*step.weight),
                 Vector(step.bias), half(step.out), {});
  if (!step.output) return {};
  const auto trace = wanted.trace ? std::make_shared<LinearTrace>() : nullptr;
  QuantizeOutput(step.output, half(step.out), trace.get());
  return {.trace = trace};
}

}  // namespace w8a8
