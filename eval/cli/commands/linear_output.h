// The output file of `linear`.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/cli/commands/linear_input.h"
#include "quant/weight_codes.h"
#include "runtime/arena.h"

namespace w8a8 {

// How a layer came to its output.
struct LinearOutput {
  std::optional<WeightCodes> weight;         // none: fp16
  std::shared_ptr<const LinearTrace> trace;  // nullptr: fp16
  std::vector<Half> halves;                  // y [m, n]
  std::vector<BFloat16> brains;              // in place of them, where the layer computes in BF16
};

// All tensors that it may write.
inline constexpr std::array<std::string_view, 11> kLinearTensors = {"acc",
                                                                    "code_sum",
                                                                    "codes",
                                                                    "counts",
                                                                    "input_scale",
                                                                    "input_zero_point",
                                                                    "output_codes",
                                                                    "transformed",
                                                                    "weight_codes",
                                                                    "weight_scale",
                                                                    "y"};

// Writes `codes` I8 [M, K], `input_scale` F32 [M], [1] or [M, groups], `input_zero_point` I32 [M]
// or [1], `code_sum` I32 [M], `transformed` F32 [M, K], `weight_codes` I8 [N, K], `weight_scale`
// F32 [1], [N] or [N, groups], `acc` I32 [M, N] or [groups, M, N], `y` F16 or BF16 [M, N],
// `output_codes` I8 [M, N] and `counts` U64 [3] (NaN, Inf, saturated), those that there are; a
// first row that was coded twice has a row more, the last, in `codes`, `code_sum`, `acc` and
// `input_scale`. Without metadata and with one bit pattern for every NaN, so that two kernel sets
// that agree give equal files.
void WriteLinearOutput(const LinearInput& in, const LinearOutput& out, const std::string& path);

}  // namespace w8a8
