// The steps around an encoder's float products: patches of pixels as rows of an operand, prefix and
// position on top of their product, and rows that are copied, averaged or filled. Equal in every
// bit to the CPU's steps.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// out [images * patches, channels * patch * patch] = the patches of each image, row by row of the
// grid, in the order (channel, y, x), rounded to FP16.
struct GatherPatchesArgs {
  MatView<const float> pixels;  // [images * channels, image_height * image_width]
  int64_t channels = 0;
  int64_t image_height = 0;  // whole patches
  int64_t image_width = 0;
  int64_t patch = 0;
  MatView<Half> out;
};
void LaunchGatherPatches(Queue queue, const GatherPatchesArgs& args);

// An image's rows of `out` are the prefix tokens, then the patches; on each its position is added
// in binary32, before the one rounding, if any.
template <class T>
struct EmbedArgsOf {
  MatView<const float> product;     // [images * patches, width]: with the bias
  const float* prefix = nullptr;    // [prefix_tokens, width]
  const float* position = nullptr;  // [prefix_tokens + patches, width]
  int64_t images = 0;
  int64_t prefix_tokens = 0;
  MatView<T> out;  // [images * (prefix_tokens + patches), width]
};
void LaunchEmbed(Queue queue, const EmbedArgsOf<Half>& args);
void LaunchEmbed(Queue queue, const EmbedArgsOf<float>& args);

// Every row of `out` = the `out.cols` values of `row`, rounded.
void LaunchBroadcastRow(Queue queue, const float* row, MatView<Half> out);

// out[image] = row `row` of each image; `in` has as many rows of each of the images of `out`.
void LaunchSelectRow(Queue queue, MatView<const Half> in, int64_t row, MatView<Half> out);

// out[image] = the mean of an image's rows from `first_row` on: summed in binary32, ascending.
void LaunchMeanRows(Queue queue, MatView<const Half> in, int64_t first_row, MatView<Half> out);

// out = fp16((a + b) / 2).
void LaunchAverage(Queue queue, MatView<const Half> a, MatView<const Half> b, MatView<Half> out);

// out = [a, b] by columns.
void LaunchConcat(Queue queue, MatView<const Half> a, MatView<const Half> b, MatView<Half> out);

void LaunchCopy(Queue queue, MatView<const Half> from, MatView<Half> to);
void LaunchCopy(Queue queue, MatView<const float> from, MatView<float> to);
void LaunchClear(Queue queue, MatView<float> out);

// fp16(tanh(x)) of the nearest binary64 value for each of the 65,536 patterns; on the host, once.
std::vector<Half> TanhTable();
// out = table[in].
void LaunchTanh(Queue queue, const Half* table, MatView<const Half> in, MatView<Half> out);

}  // namespace w8a8
