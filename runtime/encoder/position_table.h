// Position tables on another grid than the stored one.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/encoder/config.h"

namespace w8a8 {

// The row that is added to each token of `config`: [tokens, width], from the stored table
// [table_tokens, width]. Prefix rows are copied, registers get zeros, and the patches' rows are
// resized by `config.position_resize` from the stored grid to that of the image. Equal grids give
// the stored values. Sums in binary64, rounded once to binary32.
std::vector<float> PositionRows(const EncoderConfig& config, const std::vector<float>& stored);

// One axis of a resize: output i is the sum of weight[i][j] * input[first[i] + j]. Sampling as
// torch's interpolate does with align_corners=False and `size` given: the centre of output i lies
// at (i + 0.5) * inputs / outputs - 0.5. Without antialias an input beyond the border is its
// border.
struct ResizeAxis {
  std::vector<int64_t> first;
  std::vector<std::vector<double>> weight;
};
ResizeAxis MakeResizeAxis(int64_t inputs, int64_t outputs, PositionResize kind);

}  // namespace w8a8
